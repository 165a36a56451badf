"""`task URL`: a repository elsewhere is cloned, worked in by a real runner, and pushed to; a hostile one is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.store import Store
from components.store_url import of_file
from tests.git_http import GitServer, serving
from tests.runner import AGENT, ROOT, make_repository
from tests.runner import git as sh
from tests.waiting import until

SECRET = "ghp-not-a-real-one-4711"


class Machine:
    """A home with a token for a served repository, and an agent that commits."""

    def __init__(self, directory: Path, server: GitServer, *mode: str) -> None:
        self.directory, self.server, self.home = directory, server, directory / "home"
        token, script = directory / "token", directory / "agent.py"
        token.write_text(SECRET)
        token.chmod(0o600)
        script.write_text(AGENT)
        self.env = {
            **os.environ,
            "HEADLESS_PM_HOME": str(self.home),
            "HEADLESS_PM_GIT_TOKENS": f"127.0.0.1={token}",
            "HEADLESS_PM_EVIDENCE": "none",
            "AGENT_COMMAND": " ".join([sys.executable, str(script), str(directory / "ledger"), *mode]),
        }

    def task(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "components.cli", "task", *words]
        return subprocess.run(argv, env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)

    def verdict(self, claim: str) -> dict[str, Any]:
        file = self.home / "tasks" / claim / "verdict.json"
        until(file.exists, f"the task ends; {(self.home / 'tasks' / claim / 'log').read_text()}", 40)
        found: dict[str, Any] = json.loads(file.read_bytes())
        until(lambda: not self.has_runner(claim), "its runner ends", 40)
        return found

    def has_runner(self, claim: str) -> bool:
        from components import typed_task

        return typed_task.has_runner(self.home, claim)

    def started(self, *words: str) -> str:
        begun = self.task(*words, "-b", "--json")
        assert begun.returncode == 0, begun.stderr
        return str(json.loads(begun.stdout)["id"])


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with serving(tmp_path / "served") as server:
        server.make(make_repository(tmp_path / "source"))
        server.password = SECRET
        yield Machine(tmp_path, server, "write", "commit")


def test_a_task_in_a_private_repository_is_done_in_a_worktree_of_its_clone_and_pushed(machine: Machine) -> None:
    claim = machine.started(machine.server.url(), "Do the work")

    verdict = machine.verdict(claim)

    log = (machine.home / "tasks" / claim / "log").read_text()
    assert verdict["reason"] == "succeeded", verdict
    branch = f"feature/task-t{claim[:8]}"
    assert "work of attempt 1" in sh(machine.server.root / "shop.git", "show", f"{branch}:work.txt"), log
    store = Store(of_file(machine.home / "store.db"))
    until(lambda: store.get(claim).status == "succeeded", "the history knows")
    store.close()
    for path in machine.home.rglob("*"):
        assert path.is_symlink() or not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_a_clone_of_its_own_stays_with_what_was_done(machine: Machine) -> None:
    claim = machine.started(machine.server.url(), "Do the work", "--workspace", "clone")

    assert machine.verdict(claim)["reason"] == "succeeded"

    (clone,) = (path for path in (machine.home / "workspaces").iterdir() if path.is_dir())
    assert (clone / "work.txt").exists()
    store = Store(of_file(machine.home / "store.db"))
    (row,) = until(store.workspaces, "the workspace is entered")
    store.close()
    assert (row.path, row.kind, row.execution_id) == (str(clone), "clone", claim)


def test_a_repository_that_is_not_to_be_had_ends_the_task_with_the_reason(machine: Machine) -> None:
    claim = machine.started(machine.server.url("nothing.git"), "Do the work")

    verdict = machine.verdict(claim)

    assert verdict["reason"] == "workspace_failed"
    assert "nothing.git" in verdict["detail"]
    store = Store(of_file(machine.home / "store.db"))
    assert store.get(claim).status == "failed"
    store.close()


@pytest.mark.parametrize("word", ["ext::sh -c id", "file:///etc", "-oProxyCommand=id", "https://u:secret@host/a"])
def test_a_hostile_address_is_a_mistake_of_the_call(machine: Machine, word: str) -> None:
    refused = machine.task("--background", "--", word, "Do the work")

    assert refused.returncode == 2, refused.stderr
    assert "repository" in refused.stderr
    assert ":secret@" not in refused.stderr
    assert not (machine.home / "tasks").exists()


def test_the_hooks_of_error_are_told_of_a_task_that_failed(tmp_path: Path) -> None:
    hooks, heard = tmp_path / "hooks", tmp_path / "heard"
    hooks.mkdir(mode=0o755)
    for moment in ("post_task", "error"):
        (hooks / f"{moment}.sh").write_text(f"#!/bin/sh\ncat > {heard}.{moment}\n")
        (hooks / f"{moment}.sh").chmod(0o755)
    with serving(tmp_path / "served") as server:
        machine = Machine(tmp_path, server, "fail")
    machine.env |= {"HEADLESS_PM_HOOKS_DIRECTORY": str(hooks), "HEADLESS_PM_MAX_ATTEMPTS": "1"}

    machine.verdict(machine.started(str(make_repository(tmp_path / "shop")), "Do the work"))

    told, ended = (json.loads((tmp_path / f"heard.{moment}").read_text()) for moment in ("error", "post_task"))
    assert (told["moment"], told["error"]["kind"], told["verdict"]) == ("error", "agent_failed", ended["verdict"])
    assert "error" not in ended
