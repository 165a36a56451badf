"""The scripted model and the real Claude CLI understand each other as the CLI and the real API do."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from components.demo.script import parse_scripts
from components.demo.scripted_model import ScriptedModel
from tests.scripted_model import claude_argv, claude_env, inline, run_claude, scripted

DEADLINE_SECONDS = 30


@pytest.fixture
def work(tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    directory.mkdir()
    return directory


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def transcript(home: Path, session: str) -> str:
    return "".join(path.read_text() for path in home.glob(f".claude/projects/*/{session}.jsonl"))


def test_a_text_turn_is_the_result_of_the_run(tmp_path: Path, work: Path) -> None:
    with scripted("Hello from the script.") as model:
        ran = run_claude("say hello", env=claude_env(model.url, tmp_path), cwd=work)

    assert ran.exit_code == 0
    assert (ran.result["is_error"], ran.result["subtype"]) == (False, "success")
    assert ran.result["result"] == "Hello from the script."
    assert [message["type"] for message in ran.messages] == ["system", "assistant", "result"]


def test_tools_are_really_called_with_the_working_directory_filled_in(tmp_path: Path, work: Path) -> None:
    write = {"file_path": "{cwd}/a.txt", "content": "braces {stay} as they are\n"}
    log = tmp_path / "log.jsonl"
    with scripted({"text": "I write.", "Write": write}, {"Bash": "wc -w < a.txt"}, "Written.", log=log) as model:
        ran = run_claude("write it", env=claude_env(model.url, tmp_path), cwd=work)

    assert (work / "a.txt").read_text() == "braces {stay} as they are\n"
    assert (ran.result["result"], ran.result["num_turns"]) == ("Written.", 3)
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["turn"] for entry in logged] == [0, 1, 2]
    assert logged[2]["tool_results"] == ["5"]
    assert {entry["cwd"] for entry in logged} == {str(work)}
    assert {entry["session"] for entry in logged} == {ran.result["session_id"]}


def test_two_tools_of_one_turn_are_one_answer(tmp_path: Path, work: Path) -> None:
    with scripted({"tools": [{"Bash": "touch one"}, {"Bash": "touch two"}]}, "Both.") as model:
        ran = run_claude("touch", env=claude_env(model.url, tmp_path), cwd=work)

    assert sorted(path.name for path in work.iterdir()) == ["one", "two"]
    assert (ran.result["result"], len(model.requests)) == ("Both.", 2)


@pytest.mark.parametrize(("alias", "family"), [("sonnet", "claude-sonnet-"), ("opus", "claude-opus-")])
def test_the_model_that_was_asked_for_answers_and_is_billed(
    tmp_path: Path, work: Path, alias: str, family: str
) -> None:
    with scripted("Hello.") as model:
        ran = run_claude("hello", env=claude_env(model.url, tmp_path), cwd=work, model=alias)

    (used,) = ran.result["modelUsage"]
    assert used.startswith(family)
    assert used == model.requests[0]["model"]
    assert 0 < ran.result["total_cost_usd"] < 0.05


def test_the_prompt_chooses_the_script_and_may_carry_its_own(tmp_path: Path, work: Path) -> None:
    scripts = parse_scripts([{"when": "apples?", "turns": ["Fruit."]}, {"when": "carrot", "turns": ["Vegetable."]}])
    with ScriptedModel(scripts) as model:
        env = claude_env(model.url, tmp_path)
        answers = [
            run_claude(prompt, env=env, cwd=work).result["result"]
            for prompt in ("Peel one Carrot", "Buy milk", f"An apple, but {inline('A script within.')}")
        ]

    assert answers[0] == "Vegetable."
    assert "no script fits" in answers[1]
    assert answers[2] == "A script within."


def test_a_resumed_session_goes_on_after_the_last_answer(tmp_path: Path, work: Path) -> None:
    session = str(uuid.uuid4())
    task = "Work. " + inline({"Bash": "echo one >> turns"}, {"text": "Half.", "sleep": 0}, "Whole.")
    with ScriptedModel() as model:
        env = claude_env(model.url, tmp_path)
        first = run_claude(task, "--session-id", session, env=env, cwd=work)
        second = run_claude("Please go on.", "--resume", session, env=env, cwd=work)

    assert (first.result["result"], second.result["result"]) == ("Half.", "Whole.")
    assert (work / "turns").read_text() == "one\n"


@pytest.mark.parametrize(
    ("cut_turn", "recorded"),
    [
        ({"Bash": "while ! test -e freed; do sleep 0.1; done; echo done >> done"}, '"type":"tool_use"'),
        ({"sleep": 3, "Bash": "echo done >> done"}, '"type":"tool_result"'),
    ],
    ids=["in a command", "waiting for the answer"],
)
def test_a_session_that_was_killed_goes_on_with_the_turn_that_was_cut(
    tmp_path: Path, work: Path, cut_turn: dict[str, object], recorded: str
) -> None:
    session = str(uuid.uuid4())
    task = "Work. " + inline({"Bash": "echo once >> first"}, cut_turn, "Finished.")
    in_command = recorded == '"type":"tool_use"'
    with ScriptedModel() as model:
        env = claude_env(model.url, tmp_path)
        with subprocess.Popen(
            claude_argv("--session-id", session), env=env, cwd=work, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as agent:
            assert agent.stdin
            agent.stdin.write(task.encode())
            agent.stdin.close()
            # The CLI writes its transcript up to 0.1 s late: killed before, it would resume one turn earlier.
            wait_until(lambda: transcript(tmp_path, session).count(recorded) == 1 + in_command)
            wait_until(lambda: len(model.requests) == 2)
            agent.send_signal(signal.SIGKILL)
        (work / "freed").touch()
        ran = run_claude("Please go on.", "--resume", session, env=env, cwd=work)

    assert ran.result["result"] == "Finished."
    assert (work / "first").read_text() == "once\n", "a turn that was answered is not played again"
    assert [entry["turn"] for entry in model.requests] == [0, 1, 1, 2]
    assert (work / "done").exists()


@pytest.mark.parametrize(
    ("fault", "status", "requests"),
    [("401", 401, 2), ("404", 404, 2), ("429", 429, 2), ("500", 500, 2), ("529", 529, 2), ("credit", 400, 1)],
)
def test_a_failure_of_the_api_is_an_error_although_the_subtype_is_success(
    tmp_path: Path, work: Path, fault: str, status: int, requests: int
) -> None:
    with scripted({"fault": fault, "text": "never said"}) as model:
        ran = run_claude("try", env=claude_env(model.url, tmp_path, retries=1), cwd=work)

    assert ran.exit_code == 1
    assert (ran.result["subtype"], ran.result["is_error"]) == ("success", True)
    assert ran.result["api_error_status"] == status
    assert [entry["fault"] for entry in model.requests] == [fault] * requests


@pytest.mark.parametrize("fault", ["429", "529", "cut", "malformed"])
def test_a_fault_that_passes_is_overcome_by_the_cli(tmp_path: Path, work: Path, fault: str) -> None:
    passing = {"name": fault, "times": 1, **({"retry_after": 1} if fault == "429" else {})}
    with scripted({"fault": passing, "text": "Got through."}) as model:
        ran = run_claude("try", env=claude_env(model.url, tmp_path, retries=2), cwd=work)

    assert (ran.exit_code, ran.result["is_error"], ran.result["result"]) == (0, False, "Got through.")
    assert [entry["fault"] for entry in model.requests] == [fault, None]


def test_a_slow_stream_is_waited_for_and_a_hanging_one_can_be_stopped(tmp_path: Path, work: Path) -> None:
    slow, hanging = inline({"fault": {"name": "slow", "seconds": 0.2}, "text": "Slow."}), inline({"fault": "hang"})
    with ScriptedModel() as model:
        env = claude_env(model.url, tmp_path)
        ran = run_claude(f"slowly {slow}", env=env, cwd=work)
        with subprocess.Popen(
            claude_argv(), env=env, cwd=work, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as agent:
            assert agent.stdin
            agent.stdin.write(f"hang {hanging}".encode())
            agent.stdin.close()
            wait_until(lambda: model.requests[-1]["fault"] == "hang")
            agent.terminate()
            ended = agent.wait(DEADLINE_SECONDS)

    assert (ran.result["result"], ran.result["duration_api_ms"] > 1000) == ("Slow.", True)
    assert ended == 143


def test_the_command_serves_a_file_of_scripts_until_its_parent_ends(tmp_path: Path, work: Path) -> None:
    scripts = tmp_path / "scripts.yaml"
    scripts.write_text("- when: hello\n  turns: [Played from a file.]\n")
    command = [sys.executable, "-m", "components.demo.scripted_model", "--scripts", str(scripts)]
    with (
        subprocess.Popen(["sleep", "600"]) as parent,
        subprocess.Popen([*command, "--parent", str(parent.pid)], stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout
            said = server.stdout.readline()
            url = said.removeprefix("Scripted model listening on ").strip()
            ran = run_claude("hello", env=claude_env(url, tmp_path), cwd=work)
        finally:
            parent.kill()
        ended = server.wait(DEADLINE_SECONDS)

    assert said.startswith("Scripted model listening on http://127.0.0.1:")
    assert (ran.result["result"], ended) == ("Played from a file.", 0)


def test_a_file_of_scripts_with_a_mistake_is_refused_in_one_line(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts.yaml"
    scripts.write_text("- when: hello\n  turns: [{fault: {name: nonsense}}]\n")

    done = subprocess.run(
        [sys.executable, "-m", "components.demo.scripted_model", "--scripts", str(scripts)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'nonsense'" in done.stderr
    assert str(scripts) in done.stderr


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model": "x"}', b'{"model": "x", "messages": [1]}', b"\xff"])
def test_a_request_that_is_none_is_refused_and_the_server_goes_on(body: bytes) -> None:
    with scripted("Hello.") as model:
        port = int(model.url.rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
        connection.request("POST", "/v1/messages", body)
        refused = connection.getresponse()
        said = json.loads(refused.read())
        connection.request("HEAD", "/api/hello")
        alive = connection.getresponse()
        connection.close()

    assert (refused.status, said["type"], said["error"]["type"]) == (400, "error", "invalid_request_error")
    assert alive.status == 200


def test_importing_the_server_loads_nothing_heavy() -> None:
    heavy = "fastapi uvicorn requests rich sqlalchemy yaml"
    program = f"import sys, components.demo.scripted_model; print([m for m in {heavy.split()} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)

    assert done.stdout == "[]\n"
