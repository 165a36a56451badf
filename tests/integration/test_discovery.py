"""Finding the Claude CLI, role instructions and hooks, on real files with real programs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components import discovery
from components.errors import AgentMissing, ConfigError
from components.states import Level, Role

CHECKOUT = Path(__file__).parents[2]


class Machine:
    """A file system of its own, with a user."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home" / "me"
        self.directory = self.home / "project" / "deep"
        self.directory.mkdir(parents=True)
        self.environ = {"PATH": f"{root}/path/one:{root}/path/two"}

    def install(self, place: str, mode: int = 0o755) -> Path:
        path = self.root / place / "claude"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\necho '2.1.329 (Claude Code)'\n")
        path.chmod(mode)
        return path

    def find(self, configured: Path | None = None, **environ: str) -> Path:
        return discovery.find_claude(
            {**self.environ, **environ}, self.home, configured, directory=self.directory, root=self.root
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


PLACES = (
    "path/one",
    "path/two",
    "npm-prefix/bin",
    "npmrc-prefix/bin",
    "home/me/.npm-global/bin",
    "usr/local/bin",
    "usr/lib/node_modules/.bin",
    "home/me/project/deep/node_modules/.bin",
    "home/me/project/node_modules/.bin",
    "home/me/.claude/local",
    "home/me/.local/bin",
    "opt/homebrew/bin",
    "home/linuxbrew/.linuxbrew/bin",
)


def test_the_first_place_wins_in_order(machine: Machine):
    (machine.home / ".npmrc").write_text(f"//registry/:x=y\nprefix = {machine.root}/npmrc-prefix\n")
    paths = [machine.install(place) for place in PLACES]

    for path in paths:
        assert machine.find(NPM_CONFIG_PREFIX=f"{machine.root}/npm-prefix") == path
        path.unlink()


def test_a_prefix_below_the_home_is_understood(machine: Machine):
    path = machine.install("home/me/mine/bin")

    for written in ("~/mine", "${HOME}/mine", '"${HOME}/mine"'):
        (machine.home / ".npmrc").write_text(f"prefix={written}\n")
        assert machine.find() == path


def test_a_configured_one_is_taken_before_all_others(machine: Machine):
    machine.install("path/one")

    assert machine.find(machine.install("mine")) == machine.root / "mine" / "claude"


def test_a_configured_one_that_is_missing_is_not_replaced_by_another(machine: Machine):
    machine.install("path/one")

    with pytest.raises(AgentMissing, match="claude_path = '/nowhere/claude' is not an executable file"):
        machine.find(Path("/nowhere/claude"))


def test_what_cannot_be_executed_is_passed_over(machine: Machine):
    machine.install("path/one", mode=0o644)
    (machine.root / "path" / "two" / "claude").mkdir(parents=True)
    path = machine.install("home/me/.local/bin")

    assert machine.find() == path


@pytest.mark.skipif(importlib.util.find_spec("claude_agent_sdk") is None, reason="claude-agent-sdk is not installed")
def test_the_last_resort_is_the_binary_inside_the_sdk_and_the_sdk_is_not_imported(machine: Machine):
    code = (
        "import sys; from pathlib import Path; from components import discovery;"
        f"print(discovery.find_claude({{}}, Path({str(machine.home)!r}), root=Path({str(machine.root)!r})));"
        "print('claude_agent_sdk' in sys.modules)"
    )

    ran = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)

    path, is_imported = ran.stdout.splitlines()
    assert path.endswith("claude_agent_sdk/_bundled/claude")
    assert is_imported == "False"
    version = Path(path).with_name("claude.version").read_text()
    assert discovery.claude_version(Path(path)) in version


def test_without_any_the_message_says_where_it_looked_and_what_to_do(machine: Machine):
    machine.install("path/two", mode=0o644)
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); from pathlib import Path;"
        "from components import discovery; root, home = map(Path, sys.argv[1:]);"
        "discovery.find_claude({'PATH': f'{root}/path/one:{root}/path/two'}, home, directory=home, root=root)"
    )

    ran = subprocess.run(  # -S: without the installed packages there is no SDK
        [sys.executable, "-S", "-c", code, str(machine.root), str(machine.home)],
        capture_output=True,
        text=True,
        check=False,
    )

    message = ran.stderr[ran.stderr.index("AgentMissing:") :]
    for words in ("pip install claude-agent-sdk", "npm install -g @anthropic-ai/claude-code", "AGENT_COMMAND"):
        assert words in message
    assert f"{machine.root}/path/one/claude\n" in message
    assert f"{machine.root}/path/two/claude (not an executable file)" in message
    assert ".claude/local/claude" in message


def program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "claude"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_version_is_told_without_its_decoration(tmp_path: Path):
    for said, version in (
        ("2.1.329 (Claude Code)", "2.1.329"),
        ("v3.0.0-beta.1", "3.0.0-beta.1"),
        ("Claude Code, the autumn release", "Claude Code, the autumn release"),
    ):
        assert discovery.claude_version(program(tmp_path, f"#!/bin/sh\necho '{said}'\n")) == version


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\necho '<html>not 1.2.3</html>'\n", "told no version but '<html>not 1.2.3</html>'"),
        ("#!/bin/sh\necho '<html>claude</html>'\n", "told no version"),
        ("#!/bin/sh\n", "told no version but ''"),
        ("#!/bin/sh\nprintf '\\033[2J\\377'\n", "told no version"),
        ("#!/bin/sh\necho 'needs a newer libc' >&2\nexit 3\n", "exit code 3: 'needs a newer libc'"),
        ("#!/bin/sh\nkill -9 $$\n", "exit code -9"),
        ("#!/nowhere/interpreter\n", "cannot be started"),
        ("neither a script nor a binary\n", "cannot be started"),
    ],
)
def test_a_cli_that_does_not_work_is_missing_with_the_reason(tmp_path: Path, text: str, words: str):
    with pytest.raises(AgentMissing) as raised:
        discovery.claude_version(program(tmp_path, text))

    assert words in str(raised.value)
    assert "pip install claude-agent-sdk" in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_a_cli_that_is_gone_is_missing(tmp_path: Path):
    with pytest.raises(AgentMissing, match="cannot be started"):
        discovery.claude_version(tmp_path / "gone")


def is_gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path("/proc", str(pid), "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_cli_that_hangs_is_ended_with_all_its_children(tmp_path: Path):
    path = program(tmp_path, f"#!/bin/sh\nsleep 600 & echo $! > {tmp_path}/child\nsleep 600\n")
    started = time.monotonic()

    with pytest.raises(AgentMissing, match="no answer within 2 s"):
        discovery.claude_version(path, timeout=2.0)

    assert time.monotonic() - started < 30
    child = int((tmp_path / "child").read_text())
    assert is_gone(child)


def test_the_cli_sees_only_the_environment_it_is_given(tmp_path: Path):
    path = program(tmp_path, '#!/bin/sh\necho "1.2.${NUMBER:-0}"\n')

    assert discovery.claude_version(path, {"NUMBER": "7"}) == "1.2.7"


def test_team_roles_are_found_in_order(tmp_path: Path):
    repository, home = tmp_path / "repository", tmp_path / "home"
    places = [
        repository / "team_roles",
        repository / "agents/client/team_roles",
        repository / "headless-pm/agents/client/team_roles",
        repository / "agents/team_roles",
        home / "team_roles",
    ]
    for place in places:
        place.mkdir(parents=True)

    for place in places:
        assert discovery.find_team_roles(None, repository, home) == place
        place.rmdir()
    assert discovery.find_team_roles(None, repository, home) is None


def test_configured_team_roles_come_first_and_must_be_there(tmp_path: Path):
    (tmp_path / "team_roles").mkdir()
    (tmp_path / "mine").mkdir()

    assert discovery.find_team_roles(tmp_path / "mine", tmp_path, tmp_path) == tmp_path / "mine"
    with pytest.raises(ConfigError, match="no such directory"):
        discovery.find_team_roles(tmp_path / "gone", tmp_path, tmp_path)


def test_instructions_for_the_level_come_before_those_for_the_role(tmp_path: Path):
    (tmp_path / "qa.md").write_text("for all\n")
    (tmp_path / "qa_senior.md").write_text("\ufefffor seniors\n")

    senior = discovery.role_instructions(Role.QA, Level.SENIOR, tmp_path)
    junior = discovery.role_instructions(Role.QA, Level.JUNIOR, tmp_path)

    assert (senior.text, senior.origin) == ("for seniors", tmp_path / "qa_senior.md")
    assert (junior.text, junior.origin) == ("for all", tmp_path / "qa.md")


@pytest.mark.parametrize("role", list(Role))
def test_every_role_has_built_in_instructions(role: Role, tmp_path: Path):
    built_in = discovery.PACKAGE / "roles" / f"{role}.md"

    for directory in (None, tmp_path):
        found = discovery.role_instructions(role, Level.SENIOR, directory)
        assert found.origin == built_in
        assert found.text


def test_instructions_that_cannot_be_used_are_named_not_skipped(tmp_path: Path):
    path = tmp_path / "qa.md"

    def refused() -> str:
        with pytest.raises(ConfigError) as raised:
            discovery.role_instructions(Role.QA, Level.SENIOR, tmp_path)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        return str(raised.value)

    (tmp_path / "secret").write_text("of somebody else")
    path.symlink_to(tmp_path / "secret")
    assert "symbolic link" in refused()
    os.mkfifo(path)
    assert "regular file" in refused()
    path.mkdir()
    assert "regular file" in refused()
    path.write_bytes(b"x" * (256 * 1024 + 1))
    assert "larger than 256 kB" in refused()
    path.write_bytes(b"caf\xe9")
    assert "not UTF-8" in refused()
    path.write_text(" \n")
    assert "is empty" in refused()


def test_instructions_of_exactly_the_limit_are_taken(tmp_path: Path):
    (tmp_path / "qa.md").write_bytes(b"x" * 256 * 1024)

    assert len(discovery.role_instructions(Role.QA, Level.SENIOR, tmp_path).text) == 256 * 1024


def test_the_default_hooks_of_a_checkout_are_beside_the_package():
    assert discovery.default_hooks_directory() == CHECKOUT / "hooks"
