"""A program that embeds the runner, with hooks of its own on the moments of a task's life."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from components import AdvancedAgentRunner, TerminalUI, background, typed_task
from components.config import Config, load
from components.errors import HookPostponed, NotFound
from components.server.api import create_app, make_core
from components.server.core import Core
from components.server.tokens import Tokens
from components.signals import Signals
from components.sources.typed import TypedTaskSource
from components.store import Store
from components.typed_task import TypedTask
from components.worker import Tally
from tests.pm_server import PmServer
from tests.runner import ROOT, Runner
from tests.typed import Terminal
from tests.waiting import until

Payload = dict[str, Any]


class Program:
    """A program that has one task done by a runner in its own process."""

    def __init__(self, directory: Path, *agent: str) -> None:
        self.place = Terminal(directory, *agent)
        claim = background.new_claim()
        task = background.task_of(claim, "Round it", "Half up.", role="backend_dev", level="senior", complexity="minor")
        self.typed = TypedTask(claim, task, self.place.repository, "repository", {})
        typed_task.save(self.place.home, self.typed)
        self.signals = Signals("leave")
        self.config = self.read()
        source = TypedTaskSource(
            typed_task.directory_of(self.place.home, claim), self.typed.agent_id, "backend_dev", "senior"
        )
        self.runner = AdvancedAgentRunner(
            self.config, self.place.env, TerminalUI(), self.signals, self.read, source=source
        )

    def read(self) -> Config:
        given = {"role": "backend_dev", "agent_id": self.typed.agent_id, "repository": str(self.place.repository)}
        return load({**given, "single_task": True, "max_attempts": 1}, self.place.env).config

    def run(self) -> Tally:
        first = background.first_entry(self.place.home, self.typed, self.runner.journal)
        return self.runner.run(first)

    @property
    def has_started(self) -> bool:
        return self.place.ledger.exists() or any((self.place.home / "runs").glob("*"))


@pytest.fixture
def embed(tmp_path: Path) -> Callable[..., Program]:
    return lambda *agent: Program(tmp_path, *agent)


def refuses(payload: Payload) -> bool:
    return payload["task"]["title"] != "Round it"


def raises(payload: Payload) -> bool:
    raise ValueError(f"no {payload['task']['title']!r} on Fridays")


def postpones(payload: Payload) -> bool:
    raise HookPostponed("the office is closed")


@pytest.mark.parametrize(("hook", "said"), [(refuses, "said no"), (raises, "on Fridays"), (postpones, "is closed")])
def test_a_pre_execution_hook_that_refuses_has_nothing_started(
    embed: Callable[..., Program], capsys: pytest.CaptureFixture[str], hook: Callable[[Payload], bool], said: str
) -> None:
    program = embed("commit")
    program.runner.hooks.register("pre_execution", hook)

    tally = program.run()

    assert tally.done == 0
    assert not program.has_started
    assert said in capsys.readouterr().out


def test_a_post_execution_hook_gets_the_result_and_nobody_is_told_of_an_error(embed: Callable[..., Program]) -> None:
    program, told = embed("write", "commit"), list[Payload]()
    program.runner.hooks.register("post_execution", told.append)
    program.runner.hooks.register("error", told.append)

    assert program.run().done == 1

    (payload,) = told
    assert payload["moment"] == "post_task"
    assert payload["claim"] == program.typed.claim
    assert payload["status"] == "dev_done"
    assert payload["verdict"]["reason"] == "succeeded"
    assert Path(payload["run_directory"], "out").read_text() == "working\nfinished\n"


def test_an_error_hook_is_told_of_a_task_that_failed_after_the_post_execution_hook(
    embed: Callable[..., Program],
) -> None:
    program, told = embed("fail"), list[Payload]()
    program.runner.hooks.register("error", told.append)
    program.runner.hooks.register("post_execution", told.append)

    assert program.run().failed == 1

    assert [payload["moment"] for payload in told] == ["post_task", "error"]
    assert told[1]["error"]["kind"] == "agent_failed"


def test_a_hook_that_was_unregistered_by_its_id_is_not_asked(embed: Callable[..., Program]) -> None:
    program = embed("write", "commit")
    made = program.runner.hooks.register("pre_execution", refuses)
    named = program.runner.hooks.register("pre_execution", raises, "office-hours")

    program.runner.hooks.unregister(made)
    program.runner.hooks.unregister(named)

    assert named == "office-hours"
    assert program.run().done == 1
    with pytest.raises(NotFound, match="'office-hours' is not registered"):
        program.runner.hooks.unregister("office-hours")


def test_hooks_stay_when_the_configuration_is_read_again(
    embed: Callable[..., Program], capsys: pytest.CaptureFixture[str]
) -> None:
    program = embed("commit")
    program.runner.hooks.register("pre_execution", refuses)

    program.signals.wants_reload = True
    program.run()

    assert "The configuration was read again" in capsys.readouterr().out
    assert not program.has_started


class Service:
    """A program that embeds the service, and has tasks done through its API."""

    def __init__(self, place: Terminal, core: Core, api: TestClient) -> None:
        self.place, self.core, self.api = place, core, api
        self.told: list[Payload] = []

    def board_task(self) -> str:
        given = {"title": "Round it", "complexity": "minor"}
        return str(self.api.post("/api/tasks", json=given).json()["id"])

    def has_told(self, *moments: str) -> bool:
        return [payload["moment"] for payload in self.told] == list(moments)


@contextmanager
def serving(place: Terminal) -> Iterator[Service]:
    loaded = load({"repository": str(place.repository)}, place.env)
    core = make_core(loaded, place.env, Store(loaded.config.store))
    with TestClient(create_app(core, Tokens(())), base_url="http://127.0.0.1") as api:
        yield Service(place, core, api)


def test_the_services_executions_begin_only_where_its_programs_hooks_say_go(tmp_path: Path) -> None:
    with serving(Terminal(tmp_path, "commit")) as one:
        identifier = one.core.hooks.register("pre_execution", refuses)
        order = {"worker": "backend_dev", "repository": "repository", "task": "Round it"}
        task = one.board_task()

        refused = one.api.post(f"/api/tasks/{task}/run")
        one.core.hooks.register("pre_execution", postpones, identifier)
        later = one.api.post("/api/agent-runtime/execute", json=order)
        on_the_board = one.api.get(f"/api/tasks/{task}").json()

        assert [(answer.status_code, answer.json()["kind"]) for answer in (refused, later)] == [
            (409, "HookRejected"),
            (409, "HookPostponed"),
        ]
        assert on_the_board["status"] == "todo"
        assert "said no" in on_the_board["error"]
        assert typed_task.claims(one.place.home) == []

        one.core.hooks.unregister(identifier)
        assert one.api.post(f"/api/tasks/{task}/run").is_success
        until(lambda: one.api.get(f"/api/tasks/{task}").json()["status"] == "review", "the task's end", 60)


def test_a_hook_that_exits_neither_ends_the_service_nor_leaves_a_task_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once sys.exit() ended the service at a notice; at a gate it was a bare 500, and the task ran on for 10 s."""

    def exits(payload: Payload) -> None:
        one.told.append(payload)
        sys.exit(3)

    with serving(Terminal(tmp_path, "commit")) as one:
        identifier = one.core.hooks.register("pre_execution", exits)
        task = one.board_task()
        refused = one.api.post(f"/api/tasks/{task}/run")
        on_the_board = one.api.get(f"/api/tasks/{task}").json()
        one.core.hooks.unregister(identifier)
        one.told.clear()
        one.core.hooks.register("post_execution", exits)
        begun = one.api.post(f"/api/tasks/{task}/run")
        until(lambda: one.told and not one.core.awaited, "word of the end", 60)
        until(lambda: one.api.get(f"/api/tasks/{task}").json()["status"] == "review", "the task's end", 60)

    assert (refused.status_code, refused.json()["kind"]) == (409, "HookRejected")
    assert "exits said no: SystemExit: 3" in refused.json()["error"]
    assert (on_the_board["status"], on_the_board["error"]) == ("todo", refused.json()["error"])
    assert begun.is_success
    assert any("exits said no: SystemExit: 3" in one.getMessage() for one in caplog.records)


def test_the_services_hooks_get_the_result_once_also_of_what_ends_under_its_successor(tmp_path: Path) -> None:
    place = Terminal(tmp_path, "wait", "fail")
    place.env["HEADLESS_PM_MAX_ATTEMPTS"] = "1"
    with serving(place) as before:
        before.core.hooks.register("post_execution", before.told.append)
        begun = before.api.post(f"/api/tasks/{before.board_task()}/run").json()["execution_id"]
    with serving(place) as after:
        after.core.hooks.register("post_execution", after.told.append)
        after.core.hooks.register("error", after.told.append)
        place.ledger.with_name("ledger.gate").touch()
        until(lambda: after.told, "word of the end", 60)
        until(lambda: not after.core.awaited, "that nothing is left to tell", 60)
        until(lambda: not background.running(place.home), "the runner's end", 60)

        assert before.told == []
        assert after.has_told("post_task", "error")
        assert {payload["claim"] for payload in after.told} == {begun}
        assert after.told[0]["verdict"]["reason"] == "agent_failed"
        assert after.told[0]["status"] == "pending"
        assert Path(after.told[0]["run_directory"], "out").read_text() == "working\n"


def test_the_example_of_the_guide_runs(tmp_path: Path, runner: Callable[..., Runner], pm: PmServer) -> None:
    guide = (ROOT / "docs" / "hooks.md").read_text()
    section = guide[guide.index("## Hooks inside the program") :]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert example
    (tmp_path / "program.py").write_text(example[1])
    refused = pm.api.task("Tell the password")
    one = runner("commit")

    def ended() -> str:
        argv = [sys.executable, str(tmp_path / "program.py")]
        env = {**one.env, "PYTHONPATH": str(ROOT)}
        return subprocess.run(argv, env=env, cwd=one.repository, capture_output=True, text=True, check=True).stdout

    assert "ended: created hook_rejected" in ended()
    assert one.starts() == 0
    pm.api.status(refused["id"], "pm_1", "committed")
    pm.api.task("Tell the time")
    assert "ended: dev_done succeeded" in ended()
    assert one.starts() == 1
