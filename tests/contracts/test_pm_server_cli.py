"""The `pm` command: a person fills a Headless PM server from a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pm_server import ROOT, PmServer, running_pm

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", params=["default", "real", "installer"])
def pm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    args = {"default": (), "real": ("--real",), "installer": ("--real", "--generation", "installer")}
    with running_pm(tmp_path_factory.mktemp("pm"), *args[request.param]) as server:
        yield server


def words(*args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "components.cli", "pm", *args],
        cwd=ROOT,
        env={**os.environ, **env},
        check=False,
        capture_output=True,
        text=True,
        input=stdin,
        timeout=60,
    )


@pytest.fixture
def run(pm: PmServer) -> Run:
    """Run `pm` with these words against the server, which is empty at first."""
    pm.api.clear()

    def asked(*args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        settings = {"HEADLESS_PM_API_URL": pm.url, "HEADLESS_PM_API_KEY": pm.key}
        return words(*args, stdin=stdin, **{**settings, **env})

    return asked


def test_a_task_goes_from_the_terminal_to_an_agent_and_away(pm: PmServer, run: Run) -> None:
    added = run("task", "add", "Fix it", "-d", "All of it.", "--level", "junior", "--major", "--branch", "feature/x")
    assert added.returncode == 0, added.stderr
    task_id = int(added.stdout)

    offered = pm.api.next(level="junior").json()
    shown = run("task", "show", str(task_id))
    listed = json.loads(run("task", "list", "--json").stdout)
    deleted = run("task", "delete", str(task_id))

    assert (offered["id"], offered["description"], offered["complexity"]) == (task_id, "All of it.", "major")
    assert "Fix it" in shown.stdout
    assert "  All of it." in shown.stdout
    assert [(task["id"], task["branch"], task["status"]) for task in listed] == [(task_id, "feature/x", "created")]
    assert deleted.stdout == f"{task_id} deleted\n"
    assert run("task", "show", str(task_id)).returncode == 4


def test_a_pending_task_waits_for_its_approval(pm: PmServer, run: Run) -> None:
    added = run("task", "add", "Later", "--pending", "--role", "architect", "--description-file", "-", stdin="typed\n")
    if added.returncode:  # a server of 2025 knows no pending
        assert "422" in added.stderr
        return
    task_id = added.stdout.strip()
    assert pm.api.next("architect").json() is None
    assert "pending" in run("task", "list", "--status", "pending", "--role", "architect").stdout

    assert run("task", "approve", task_id).stdout == f"{task_id} created\n"

    assert pm.api.next("architect").json()["description"] == "typed\n"
    assert run("task", "approve", task_id).returncode == 0
    pm.api.status(int(task_id), "pm_cli", "dev_done")
    assert "only a pending task can be approved" in run("task", "approve", task_id).stderr


def test_a_file_is_imported_once_however_often(pm: PmServer, run: Run, tmp_path: Path) -> None:
    (tmp_path / "long.md").write_text("From a file.\n")
    file = tmp_path / "tasks.yaml"
    file.write_text(
        "role: frontend_dev\nepic: Shop\nfeature: Cart\ntasks:\n"
        "  - {key: total, title: Cart total, level: junior}\n"
        "  - {key: tax, title: Tax, complexity: major, description_file: long.md}\n"
    )

    first, second = run("import", str(file)), run("import", str(file))

    assert first.returncode == 0, first.stderr
    assert [line.split(" ", 1)[1] for line in first.stdout.splitlines()] == ["Cart total", "Tax"]
    assert [line.split(" ", 1)[1] for line in second.stdout.splitlines()] == [
        "is there already: total",
        "is there already: tax",
    ]
    tasks = {task["title"]: task for task in pm.api.tasks(role="frontend_dev")}
    assert tasks["Tax"]["description"] == "From a file.\n\nKey: tax"
    assert (tasks["Tax"]["complexity"], tasks["Cart total"]["difficulty"]) == ("major", "junior")
    assert {epic["name"] for epic in pm.api.get("/epics").json()} >= {"Shop"}


def test_nothing_of_a_file_with_a_mistake_is_made(pm: PmServer, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tasks.yaml"
    file.write_text("tasks:\n  - title: Good\n  - titel: Bad\n")
    before = pm.api.tasks()

    answer = run("import", str(file))

    assert answer.returncode == 2
    assert f"{file}:3: tasks[1].titel: there is no such key" in answer.stderr
    assert pm.api.tasks() == before


def test_agents_are_listed(pm: PmServer, run: Run) -> None:
    pm.api.register("dev_listed")

    assert "dev_listed  backend_dev" in run("agents").stdout


def test_an_agent_id_that_is_no_pm_is_named(pm: PmServer, run: Run) -> None:
    pm.api.register("dev_taken")

    answer = run("--as", "dev_taken", "task", "add", "x")

    assert answer.returncode == 1
    assert "dev_taken as backend_dev" in answer.stderr
    assert "--as" in answer.stderr


def test_a_wrong_key_and_a_server_that_is_not_there_are_one_clear_line(run: Run) -> None:
    wrong = run("task", "list", HEADLESS_PM_API_KEY="wrong-key-of-somebody")
    absent = run("--url", "http://127.0.0.1:9", "task", "list")

    assert (wrong.returncode, absent.returncode) == (77, 69)
    assert "does not accept the API key" in wrong.stderr
    assert "http://127.0.0.1:9 did not answer" in absent.stderr
    assert all(len(answer.stderr.splitlines()) == 1 for answer in (wrong, absent))


def test_terminal_escapes_in_a_task_do_not_reach_the_terminal(pm: PmServer, run: Run) -> None:
    task = pm.api.task("evil \x1b[2J title", description="line\n\x1b]0;owned\x07", target_role="qa")

    shown = run("task", "show", str(task["id"])).stdout + run("task", "list").stdout

    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "evil ?[2J title" in shown


def test_an_empty_title_is_refused_before_anything_is_asked() -> None:
    answer = words("task", "add", "  ", HEADLESS_PM_API_URL="http://127.0.0.1:9", HEADLESS_PM_API_KEY="some-long-key")

    assert answer.returncode == 2
    assert "TITLE" in answer.stderr


def test_the_server_without_a_key_makes_one_that_clients_find(tmp_path: Path) -> None:
    home = tmp_path / "pm-home"
    server = subprocess.Popen(
        [sys.executable, "-m", "components.cli", "pm", "serve", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "HEADLESS_PM_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        told, listening = server.stdout.readline(), server.stdout.readline()
        url = listening.rsplit(" ", 1)[1].strip()
        found = words("task", "list", HEADLESS_PM_HOME=str(home), HEADLESS_PM_API_URL=url)
    finally:
        server.terminate()
        server.communicate(timeout=20)

    assert f'export HEADLESS_PM_API_KEY="$(cat {home}/pm.key)"' in told
    assert (home / "pm.key").stat().st_mode & 0o777 == 0o600
    assert (home / "pm.key").read_text().strip() not in told
    assert (home / "pm.db").exists()
    assert found.returncode == 0, found.stderr
    assert server.returncode == 0


def test_loading_the_command_loads_no_web_server_and_no_database() -> None:
    heavy = "'fastapi', 'sqlalchemy', 'uvicorn', 'pydantic', 'requests', 'yaml'"
    code = f"import sys, components.cli.pm; print([name for name in ({heavy}) if name in sys.modules])"

    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert answer.stdout == "[]\n"


@pytest.mark.parametrize("args", [(), ("task",), ("task", "add"), ("serve",), ("import",)])
def test_help_teaches(args: tuple[str, ...]) -> None:
    answer = words(*args, "--help")

    assert answer.returncode == 0
    assert "Usage:" in answer.stdout
    if args != ("task",):
        assert "Example" in answer.stdout
