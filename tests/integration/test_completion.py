"""Shell completion, in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import store_url
from components.execution import Execution
from components.states import Door
from components.store import Store
from tests.screen import Screen
from tests.typed import Terminal

CLAIM, OTHER = "0123cafe" + "0" * 24, "0123beef" + "0" * 24


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A home with two executions and a project, and both of our names on PATH."""
    one = Terminal(tmp_path)
    one.home.mkdir(mode=0o700)
    (one.home / "config.yaml").write_text(f"projects:\n  shop: {one.repository}\n")
    store = Store(store_url.of_file(one.home / "store.db"))
    for claim, title in ((CLAIM, "Mend the roof, then paint it"), (OTHER, "Paint it")):
        at = "2026-01-02T00:00:00.000+00:00"
        store.add(Execution(claim, Door.TASK, str(one.repository), f"t{claim[:8]}", title, created_at=at))
    store.close()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("agent-runner", "advanced-agent-runner"):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m components.cli "$@"\n')
        (programs / name).chmod(0o755)
    one.env["PATH"] = f"{programs}:{one.env['PATH']}"
    yield one
    one.close()


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_commands_options_ids_projects_and_files(terminal: Terminal) -> None:
    lines = (
        "agent-runner resta",
        "agent-runner show 0123c",
        "advanced-agent-runner list --si",
        "agent-runner task sh",
        "agent-runner task ./",
        "agent-runner status --config REA",
    )
    (terminal.repository / "inner").mkdir()
    asked = "; ".join(f'complete -C "{line}"' for line in lines)

    ran = subprocess.run(
        ["fish", "--no-config", "-c", f"agent-runner completion fish | source; {asked}"],
        env=terminal.env,
        cwd=terminal.repository,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )

    assert ran.stdout.splitlines() == [
        "restart\tDo a task again.",
        "0123cafe\tMend the roof, then paint it",
        "--since\tBegun since then.",
        f"shop\t{terminal.repository}",
        "./inner/\tDirectory",
        "README",
    ]
    assert ran.stderr == ""


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completes_commands_options_ids_and_projects(terminal: Terminal, tmp_path: Path) -> None:
    screen = Screen(["zsh", "-f", "-i"], {**terminal.env, "HOME": str(tmp_path)}, terminal.repository)
    try:
        screen.type(f"PS1='> '; autoload -U compinit; compinit -u -d {tmp_path / 'dump'}\n")
        screen.type('eval "$(agent-runner completion zsh)"; echo re""ady\n')
        screen.shows("ready")

        screen.type("agent-runner resta\t")
        screen.shows("agent-runner restart ")
        screen.type("\x15advanced-agent-runner show 0123\t")
        screen.shows("0123cafe  -- Mend the roof, then paint it")
        screen.shows("0123beef  -- Paint it")
        screen.type("\x15agent-runner list --si\t")
        screen.shows("agent-runner list --since ")
        screen.type("\x15agent-runner task sh\t")
        screen.shows("agent-runner task shop ")
        screen.type("\x15agent-runner status --config REA\t")
        screen.shows("agent-runner status --config README")
    finally:
        screen.close()
