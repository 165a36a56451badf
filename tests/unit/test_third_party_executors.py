"""Executors of other packages, found by their entry point."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components import executors
from components.errors import ConfigError
from components.model import AgentRun

DOCUMENTED = Path(__file__).parents[2] / "docs" / "executors.md"


def install(directory: Path, name: str, code: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package that has one module, as pip would."""
    module = value.partition(":")[0]
    (directory / f"{module}.py").write_text(code)
    info = directory / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{executors.ENTRY_POINTS}]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(directory))


def test_the_documented_executor_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
    install(tmp_path, "parrot", example, "parrot_agent:make", monkeypatch)

    executor = executors.find("parrot", {"parrot_path": "/bin/parrot"})
    command = executor.command(AgentRun(prompt="Speak", directory=tmp_path, session_id="s"))
    done = executors.heard(executor, [b"\xff noise", b"DONE"], None)
    silent = executors.heard(executor, [b"torn DON"], None)

    assert (command.argv, command.stdin) == (("/bin/parrot", "--batch"), "Speak")
    assert done is not None
    assert not done.is_error
    assert silent is None


@pytest.mark.parametrize(
    ("module", "code", "reason"),
    [
        ("lacks_import", "import a_module_that_is_nowhere", "No module named 'a_module_that_is_nowhere'"),
        ("lacks_maker", "", "has no attribute 'make'"),
        ("lacks_sense", "def make(settings): return settings['nothing']", "KeyError: 'nothing'"),
        ("lacks_parts", "def make(settings): return object()", "it lacks name, resumes_by, command, listener, usage"),
    ],
)
def test_a_broken_one_is_told_with_its_package_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, code: str, reason: str
) -> None:
    install(tmp_path, "broken", code, f"{module}:make", monkeypatch)

    with pytest.raises(ConfigError) as error:
        executors.find("broken", {})

    assert reason in str(error.value)
    assert f"'broken' ({module}:make of {module})" in str(error.value)


def test_a_name_that_nobody_has_is_told_with_those_that_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "parrot", "", "parrot_too:make", monkeypatch)

    with pytest.raises(
        ConfigError, match="'cluade' is not known; choose one of claude, claude_sdk, codex, command, parrot"
    ):
        executors.find("cluade", {})
