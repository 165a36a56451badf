"""The `config` command as a person types it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.settings import BY_NAME, SETTINGS

CHECKOUT = Path(__file__).parents[2]
Ran = subprocess.CompletedProcess[str]


class Terminal:
    """A shell of a user with an empty home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / ".headless-pm" / "config.yaml"
        self.environ = {"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": str(CHECKOUT), "LC_ALL": "C.UTF-8"}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "components.cli", "config", *words]

    def type(self, *words: str, **environ: str) -> Ran:
        return subprocess.run(
            self.argv(*words),
            cwd=self.home,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def look(self, *words: str, **environ: str) -> str:
        """Return what a real terminal of 80 columns shows."""
        parent, child = pty.openpty()
        process = subprocess.Popen(
            self.argv(*words), cwd=self.home, env={**self.environ, "COLUMNS": "80", **environ}, stdout=child
        )
        os.close(child)
        shown = b""
        try:
            while block := os.read(parent, 65536):
                shown += block
        except OSError:  # a terminal whose other end is closed answers EIO
            pass
        finally:
            os.close(parent)
        assert process.wait(60) == 0
        return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_show_tells_every_value_with_its_origin_on_one_line_in_a_pipe(terminal: Terminal):
    ran = terminal.type("show", "--role", "qa", HEADLESS_PM_HOOK_TIMEOUT="7", HEADLESS_PM_API_KEY="hush")

    lines = {line.split()[0]: line for line in ran.stdout.splitlines()}
    assert ran.returncode == 0
    assert list(lines) == [setting.name for setting in SETTINGS]
    assert re.fullmatch(r"role +qa +argument --role", lines["role"])
    assert re.fullmatch(r"agent_id +qa_001 +default", lines["agent_id"])
    assert re.fullmatch(r"hook_timeout +7 s +environment HEADLESS_PM_HOOK_TIMEOUT", lines["hook_timeout"])
    assert re.fullmatch(r"api_key +\*{8} +environment HEADLESS_PM_API_KEY", lines["api_key"])
    assert "hush" not in ran.stdout + ran.stderr
    assert ran.stderr == ""


def test_show_fits_a_terminal_of_80_columns_and_loses_nothing(terminal: Terminal):
    shown = terminal.look("show", AGENT_COMMAND="agent " + "long-word " * 30, HEADLESS_PM_HEALTH_CHECK_INTERVAL="9")

    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("long-word") == 30
    assert "HEADLESS_PM_HEALTH_CHECK_INTERVAL" in re.sub(r"\s+", "", shown)


def test_show_as_json_has_the_same_and_no_secret(terminal: Terminal):
    ran = terminal.type("show", "--json", HEADLESS_PM_API_KEY="hush", HEADLESS_PM_API_URL="http://pm.example")

    shown = json.loads(ran.stdout)
    assert list(shown["settings"]) == [setting.name for setting in SETTINGS]
    assert shown["settings"]["api_key"] == {"value": "********", "origin": "environment HEADLESS_PM_API_KEY"}
    assert shown["settings"]["hook_timeout"] == {"value": 30.0, "origin": "default"}
    assert shown["file"] is None
    assert "unencrypted" in shown["warnings"][0]
    assert "hush" not in ran.stdout + ran.stderr


def test_init_writes_a_private_file_that_means_the_defaults(terminal: Terminal):
    before = terminal.type("show", "--json").stdout
    ran = terminal.type("init")

    assert ran.returncode == 0, ran.stderr
    assert str(terminal.file) in ran.stdout
    assert terminal.file.stat().st_mode & 0o777 == 0o600
    assert terminal.file.parent.stat().st_mode & 0o777 == 0o700
    after = json.loads(terminal.type("show", "--json").stdout)
    assert after["settings"] == json.loads(before)["settings"]
    assert after["file"] == str(terminal.file)


def test_every_line_that_init_writes_is_right_once_it_is_uncommented(terminal: Terminal):
    terminal.type("init")
    keys = "|".join(BY_NAME)
    text, count = re.subn(rf"(?m)^# (?=(?:{keys}): )", "", terminal.file.read_text())
    before = json.loads(terminal.type("show", "--json").stdout)["settings"]

    terminal.file.write_text(text)
    after = json.loads(terminal.type("show", "--json").stdout)["settings"]

    assert count == len(SETTINGS)
    assert {name: row["value"] for name, row in after.items()} == {name: row["value"] for name, row in before.items()}
    assert all(row["origin"].startswith(f"file {terminal.file}:") for row in after.values())


def test_init_never_overwrites(terminal: Terminal):
    terminal.type("init")
    terminal.file.write_text("level: junior\n")

    ran = terminal.type("init")

    assert ran.returncode == 2
    assert "left as it is" in ran.stderr
    assert terminal.file.read_text() == "level: junior\n"


def test_init_goes_where_it_is_told_and_says_when_it_cannot(terminal: Terminal):
    named = terminal.type("init", "here/my.yaml")
    of_home = terminal.type("init", HEADLESS_PM_HOME=str(terminal.home / "other"))
    refused = terminal.type("init", "here/my.yaml/below/config.yaml")

    assert (named.returncode, of_home.returncode, refused.returncode) == (0, 0, 2)
    assert (terminal.home / "here" / "my.yaml").exists()
    assert (terminal.home / "other" / "config.yaml").exists()
    assert "Traceback" not in refused.stderr


def test_check_is_0_for_a_fine_configuration_and_2_with_every_mistake_for_a_bad_one(terminal: Terminal):
    fine = terminal.type("check")
    terminal.type("init")
    terminal.file.write_text("levl: junior\nsettle: 0\n")
    bad = terminal.type("check")

    assert (fine.returncode, bad.returncode) == (0, 2)
    assert "fine" in fine.stdout
    assert "2 mistakes" in bad.stderr
    assert "did you mean level?" in bad.stderr
    assert f"{terminal.file}:2" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_the_documentation_has_the_table_of_the_settings():
    ran = subprocess.run(
        [sys.executable, "-m", "components.cli", "config", "reference"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    text = (CHECKOUT / "docs" / "configuration.md").read_text()

    assert ran.stdout.strip() in text, "put the output of `config reference` into docs/configuration.md"
    for setting in SETTINGS:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{setting.name}` |"))
        assert all(f"`{name}`" in row for name in setting.variables)
        assert setting.default_words in row


def test_show_tells_what_is_in_force_for_a_task(terminal: Terminal) -> None:
    terminal.file.parent.mkdir(parents=True)
    terminal.file.write_text("tasks:\n  major: {grace: 20}\n  senior: {grace: 30}\n  42:\n    grace: 40\n")
    terminal.file.chmod(0o600)

    def shown(*words: str) -> tuple[object, str]:
        setting = json.loads(terminal.type("show", "--json", *words).stdout)["settings"]["grace"]
        return setting["value"], setting["origin"]

    assert shown() == (10.0, "default")
    assert shown("--complexity", "major") == (20.0, f"file {terminal.file}:2")
    assert shown("--complexity", "major", "--level", "senior") == (30.0, f"file {terminal.file}:3")
    assert shown("--level", "senior", "--task", "42") == (40.0, f"file {terminal.file}:5")
    assert shown("--task", "43", "--level", "junior", "--complexity", "minor") == (10.0, "default")
    assert terminal.type("show", "--level", "sinior").returncode == 2


def test_check_and_init_answer_programs_too(terminal: Terminal) -> None:
    made = json.loads(terminal.type("init", "--json").stdout)
    told = json.loads(terminal.type("check", "--json").stdout)

    assert made == {"file": str(terminal.file)}
    assert told == {"is_fine": True, "file": str(terminal.file), "warnings": []}
