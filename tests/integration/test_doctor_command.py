"""The `doctor` command, on installations that are broken on purpose."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components import background, cli, dead_letters, doctor, store_url, typed_task
from components.checks import Installation, Judgement, agent
from components.config import load
from components.execution import Execution
from components.model import Held, Task, Verdict
from components.states import Door, Phase, Reason
from components.store import Store
from components.task_persistence import TaskPersistence, host_name, now_text
from components.typed_task import TypedTask
from tests.pm_server import KEY, PmServer, running_pm
from tests.runner import ROOT, Runner, git, make_repository
from tests.waiting import until

Findings = dict[str, list[dict[str, str]]]
CLAIM, SESSION = "0123456789abcdef" * 2, "01234567-89ab-cdef-0123-456789abcdef"
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def pm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    """A server that all tests of this module share: doctor writes nothing there."""
    with running_pm(tmp_path_factory.mktemp("pm")) as server:
        yield server


class Patient:
    """An installation in which all is well, until a test breaks it."""

    def __init__(self, directory: Path, pm: PmServer, capture: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.capture = capture
        self.home = directory / "home"
        self.home.mkdir(mode=0o700)
        self.repository = make_repository(directory / "repository")
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HEADLESS_PM_HOME": str(self.home),
            "HEADLESS_PM_API_URL": pm.url,
            "HEADLESS_PM_API_KEY": KEY,
            "AGENT_COMMAND": f"{sys.executable} -c pass",
        }

    def ask(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "components.cli", "doctor", "--repo", str(self.repository), *words]
        return subprocess.run(
            argv, env={**self.environ, **environ}, capture_output=True, text=True, timeout=50, check=False
        )

    def findings(self, *words: str, code: int, **environ: str) -> Findings:
        """Return the findings by check, having compared the exit code. Asked in this process: it is quicker."""
        with pytest.MonkeyPatch.context() as patch:
            for name in {*os.environ} - {*self.environ}:
                patch.delenv(name)
            for name, value in {**self.environ, **environ}.items():
                patch.setenv(name, value)
            self.capture.readouterr()
            ended = cli.main(["doctor", "--repo", str(self.repository), *words, "--json"])
        out, err = self.capture.readouterr()
        assert (ended, err) == (code, "")
        told = json.loads(out)
        assert told["well"] is (code == 0)
        found: Findings = {}
        for one in told["findings"]:
            assert bool(one["remedy"]) is (one["judgement"] != "ok"), one
            found.setdefault(one["name"], []).append(one)
        return found


@pytest.fixture
def patient(tmp_path: Path, pm: PmServer, capsys: pytest.CaptureFixture[str]) -> Patient:
    return Patient(tmp_path, pm, capsys)


def held(**changes: Any) -> Held:
    task = Task("12", "Mend the roof", status="created", created_at="2026-01-01T00:00:00")
    usual: dict[str, Any] = {"locked_at": now_text(), "host": host_name(), "phase": Phase.EXITED, **changes}
    return Held(task=task, agent_id="dev_7", claim=CLAIM, session_id=SESSION, **usual)


def only(found: Findings, name: str) -> tuple[str, str, str]:
    """Return judgement, what was seen and remedy of a check's one finding that is not ok."""
    (one,) = (finding for finding in found[name] if finding["judgement"] != "ok")
    return one["judgement"], one["seen"], one["remedy"]


def test_a_sound_installation_has_no_problem_and_nothing_is_changed(patient: Patient, pm: PmServer) -> None:
    agents = pm.api.get("/agents").json()

    ran = patient.ask("--role", "backend_dev")

    assert ran.returncode == 0, ran.stdout
    lines = [line for line in ran.stdout.splitlines() if not line.startswith(("         -> ", "warning  process 1"))]
    assert lines.pop().endswith("this installation is fit for work.")
    assert all(line.startswith("ok       ") for line in lines if line), ran.stdout
    assert [*patient.home.iterdir()] == []
    assert pm.api.get("/agents").json() == agents
    assert git(patient.repository, "status", "--porcelain", "--ignored") == ""


def test_every_check_has_its_line(patient: Patient) -> None:
    found = patient.findings(code=0)

    tables = (*doctor.OF_THE_MACHINE, *doctor.OF_THE_HOME, *doctor.OF_THE_CONFIGURATION)
    assert list(found) == ["configuration", *(check.name for check in tables)]


def test_all_mistakes_of_the_configuration_are_told_and_the_machine_is_looked_at_all_the_same(
    patient: Patient,
) -> None:
    patient.home.chmod(0o777)

    found = patient.findings(code=1, HEADLESS_PM_SETTLE="soon", HEADLESS_PM_GRACE="-3")

    seen = [finding["seen"] for finding in found["configuration"]]
    assert [text.split()[0] for text in seen] == ["settle", "grace"]
    assert "can be changed by others (mode 0777)" in found["home"][0]["seen"]
    assert "server" in found["others"][0]["seen"]
    assert "server" not in found


@pytest.mark.parametrize(("mode", "judgement"), [(0o750, "warning"), (0o770, "problem"), (0o777, "problem")])
def test_a_home_that_is_open_to_others_is_told_with_its_mode(patient: Patient, mode: int, judgement: str) -> None:
    patient.home.chmod(mode)

    told = only(patient.findings(code=int(judgement == "problem")), "home")

    assert told[0] == judgement
    assert f"(mode {mode:04o})" in told[1]
    assert told[2] == f"chmod 700 {patient.home}"


@is_root
def test_a_home_of_another_user_is_a_problem(patient: Patient) -> None:
    os.chown(patient.home, 65534, 65534)

    told = only(patient.findings(code=1), "home")

    assert told[0] == "problem"
    assert "belongs to nobody" in told[1]


def test_a_home_that_is_a_file_is_a_problem(patient: Patient) -> None:
    patient.home.rmdir()
    patient.home.write_text("")

    assert "is not a directory" in only(patient.findings(code=1), "home")[1]


def test_a_home_that_is_not_there_yet_is_well_and_is_not_made(patient: Patient) -> None:
    patient.home.rmdir()

    found = patient.findings(code=0)

    assert "the first run makes it" in found["home"][0]["seen"]
    assert not patient.home.exists()


@is_root
def test_a_full_disk_is_a_problem(patient: Patient) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", patient.home], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs to mount a tmpfs")
    try:
        told = only(patient.findings(code=1), "space")
    finally:
        subprocess.run(["umount", patient.home], check=True)

    assert told[0] == "problem"
    assert told[1].startswith("1 MB free for the home") or told[1].startswith("0 MB free for the home")


def test_a_corrupt_journal_is_named_and_left_where_it_is(patient: Patient) -> None:
    TaskPersistence("dev_7", patient.home).save(held())
    journal = patient.home / "locks" / "agent-dev_7.lock"
    journal.write_bytes(journal.read_bytes()[:100])

    told = only(patient.findings(code=1), "journals")

    assert told[1] == f"{journal} cannot be used: it is not whole JSON"
    assert journal.stat().st_size == 100


@pytest.mark.parametrize(("agent_id", "code"), [("dev_7", 1), ("dev_8", 0)])
def test_a_journal_of_another_host_is_a_problem_for_its_agent_only(patient: Patient, agent_id: str, code: int) -> None:
    TaskPersistence("dev_7", patient.home).save(held(host="another-machine"))

    found = patient.findings("--role", "backend_dev", "--agent-id", agent_id, code=code)

    told = only(found, "journals")
    assert told[0] == ("problem" if code else "warning")
    assert "of another host, another-machine" in told[1]


def test_a_task_that_nobody_works_on_is_told_with_its_age(patient: Patient) -> None:
    journal = TaskPersistence("dev_7", patient.home)
    journal.save(held())

    told = only(patient.findings(code=0), "journals")

    assert told[0] == "warning"
    assert "agent dev_7, task 12, EXITED: no runner, last step" in told[1]


def test_an_interrupted_execution_is_told_with_the_command_that_goes_on_with_it(patient: Patient) -> None:
    claim, other = CLAIM, "fedcba98" * 4
    for one in (claim, other):
        task = background.task_of(one, "Mend the roof", "", role="backend_dev", level="senior", complexity="major")
        typed = TypedTask(one, task, patient.repository, str(patient.repository))
        directory = typed_task.save(patient.home, typed)
        os.utime(directory, (1e9, 1e9))
    entry = Held(task, typed_task.agent_of(other), Phase.RUNNING, other, SESSION, host=host_name())
    TaskPersistence(entry.agent_id, patient.home).save(entry)

    found = patient.findings(code=0)

    assert only(found, "journals")[2] == "agent-runner restart fedcba98 --resume"
    told = only(found, "typed tasks")
    assert told[0] == "warning"
    assert "execution 01234567, Mend the roof: nobody starts it" in told[1]
    assert told[2] == "agent-runner restart 01234567 --resume"


def test_a_refused_report_and_a_file_set_aside_wait_for_a_person(patient: Patient) -> None:
    verdict = Verdict(Reason.SUCCEEDED, "done")
    path = dead_letters.keep(patient.home, held(verdict=verdict), ("dev_done",), "refused (403): no")
    (patient.home / "locks").mkdir()
    aside = patient.home / "locks" / "agent-dev_7.lock.bad-20260101T000000-0"
    aside.write_text("{")

    found = patient.findings(code=0)

    assert only(found, "dead letters") == (
        "warning",
        "task 12: the server refused dev_done: refused (403): no",
        f"move it there by hand, then: rm {path}",
    )
    assert str(aside) in only(found, "set aside")[1]


def test_an_agent_without_a_journal_is_told(tmp_path: Path, patient: Patient, pm: PmServer) -> None:
    (tmp_path / "other").mkdir()
    runner = Runner(tmp_path / "other", pm, "wait", agent_id="stray_1")
    pm.api.task("Stray")
    try:
        daemon = runner.start()
        until(lambda: runner.starts() == 1 and runner.journal_is("RUNNING"), "the agent at work")
        runner.kill(daemon)
        (runner.home / "locks" / "agent-stray_1.lock").unlink()

        told = only(patient.findings(code=0, HEADLESS_PM_HOME=str(runner.home)), "stray agents")
    finally:
        runner.close()
        pm.api.clear()

    assert "is alive, and no journal names it" in told[1]
    assert told[2] == "start the runner of agent stray_1"


@pytest.mark.parametrize("makes", ["nothing", "init"])
def test_a_directory_that_is_no_repository_or_has_no_commit_is_a_problem(patient: Patient, makes: str) -> None:
    shutil.rmtree(patient.repository)
    patient.repository.mkdir()
    if makes == "init":
        subprocess.run(["git", "init", "-q", patient.repository], check=True)

    told = only(patient.findings(code=1), "repository")

    assert told[1].endswith("has no commit yet" if makes == "init" else "is not in a git repository")
    assert ("git add . && git commit" if makes == "init" else "git init, git add FILES, git commit") in told[2]


def test_an_operation_in_progress_and_a_stale_lock_of_the_index_are_told(patient: Patient) -> None:
    git(patient.repository, "checkout", "-q", "-b", "one")
    (patient.repository / "README").write_text("one\n")
    git(patient.repository, "commit", "-qam", "One")
    git(patient.repository, "checkout", "-q", "main")
    (patient.repository / "README").write_text("two\n")
    git(patient.repository, "commit", "-qam", "Two")
    subprocess.run(["git", "merge", "one"], cwd=patient.repository, capture_output=True, check=False)
    lock = patient.repository / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (time.time() - 3600, time.time() - 3600))

    found = patient.findings(code=1)

    operation, stale = found["repository"][1:]
    assert operation["judgement"] == "warning"
    assert "a merge is in progress" in operation["seen"]
    assert stale["judgement"] == "problem"
    assert stale["remedy"].endswith(f"rm {lock}")
    assert operation["remedy"].endswith(f"git -C {patient.repository} status")


def test_an_index_that_a_git_has_just_locked_is_no_problem(patient: Patient) -> None:
    (patient.repository / ".git" / "index.lock").touch()

    assert len(patient.findings(code=0)["repository"]) == 1


@pytest.mark.parametrize("name", ["task-12-01234567-a1", "somebodys"])
def test_a_poisoned_worktree_entry_is_named_and_its_remedy_works(patient: Patient, name: str) -> None:
    git(patient.repository, "worktree", "add", "-q", "-b", "other", str(patient.directory / name))
    entry = patient.repository / ".git" / "worktrees" / name
    (entry / "commondir").write_text("")

    told = only(patient.findings(code=1), "worktrees")
    subprocess.run(["sh", "-c", told[2].partition("or now: ")[2] or told[2]], check=True)

    assert str(entry) in told[1]
    assert patient.findings(code=0)["worktrees"][0]["judgement"] == "ok"


def test_a_repository_without_a_committer_is_told(patient: Patient) -> None:
    told = [
        finding["seen"].split()[0]
        for finding in patient.findings(code=0, GIT_CONFIG_GLOBAL="/dev/null")["git identity"]
    ]

    assert told == ["user.name", "user.email"]
    by_variables = {f"GIT_{kind}_{what}": "x" for kind in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    found = patient.findings(code=0, GIT_CONFIG_GLOBAL="/dev/null", **by_variables)
    assert found["git identity"][0]["judgement"] == "ok"


def test_a_hook_that_everybody_may_change_is_a_problem_and_its_remedy_works(patient: Patient) -> None:
    hooks = patient.directory / "hooks"
    hooks.mkdir(mode=0o755)
    hook = hooks / "pre_task.py"
    hook.write_text("")
    hook.chmod(0o666)

    told = only(patient.findings("--hooks-dir", str(hooks), code=1), "hooks")
    subprocess.run(["sh", "-c", told[2]], check=True)

    assert told[0] == "problem"
    assert told[1].startswith(f"pre_task.py in {hooks} will not be run")
    assert "can be changed by every user" in told[1]
    assert patient.findings("--hooks-dir", str(hooks), code=0)["hooks"][0]["judgement"] == "ok"


def test_a_hook_that_is_not_executable_is_a_problem(patient: Patient) -> None:
    hooks = patient.directory / "hooks"
    hooks.mkdir(mode=0o755)
    (hooks / "post_task.sh").write_text("#!/bin/sh\n")

    told = only(patient.findings("--hooks-dir", str(hooks), code=1), "hooks")

    assert "it is not executable" in told[1]
    assert told[2].startswith("chmod u+x")


def test_a_command_that_is_not_there_is_a_problem(patient: Patient) -> None:
    told = only(patient.findings(code=1, AGENT_COMMAND="no-such-agent --yes"), "agent")

    assert told[1] == "AGENT_COMMAND starts 'no-such-agent': it is not on the PATH"


def test_the_program_of_some_tasks_only_is_looked_for_too(patient: Patient) -> None:
    command = patient.environ.pop("AGENT_COMMAND")
    file = patient.home / "config.yaml"
    file.write_text(
        f"agent_command: {command}\ntasks: {{major: {{agent_command: [no-such-agent]}}, junior: {{grace: 3}}}}\n"
    )
    file.chmod(0o600)

    found = patient.findings(code=1)["agent"]

    assert [one["judgement"] for one in found] == ["ok", "problem"]
    assert found[1]["seen"] == "tasks.major: AGENT_COMMAND starts 'no-such-agent': it is not on the PATH"


def claude(patient: Patient, version: str) -> dict[str, str]:
    """Put a Claude CLI of this version on the search path."""
    place = patient.directory / "bin"
    place.mkdir(exist_ok=True)
    program = place / "claude"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    del patient.environ["AGENT_COMMAND"]
    return {"PATH": f"{place}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("version", "judgement", "words"),
    [
        ("2.1.330 (Claude Code)", "ok", "Claude CLI 2.1.330 at "),
        ("2.1.197 (Claude Code)", "ok", "Claude CLI 2.1.197 at "),
        ("2.1.400 (Claude Code)", "warning", "is newer than 2.1.330, the newest tested"),
        ("2.1.99 (Claude Code)", "warning", "is older than 2.1.197, the oldest tested"),
        ("3.0.0.1-nightly", "warning", "cannot be compared"),
        ("Segmentation fault", "problem", "told no version"),
    ],
)
def test_the_claude_cli_is_started_and_its_version_compared(
    patient: Patient, version: str, judgement: str, words: str
) -> None:
    path = claude(patient, version)

    found = patient.findings(code=int(judgement == "problem"), **path)["agent"][0]

    assert found["judgement"] == judgement
    assert words in found["seen"]


@pytest.mark.parametrize(
    ("user_id", "environ", "judgement"),
    [
        (0, {"HEADLESS_PM_PERMISSION_MODE": "bypassPermissions"}, Judgement.PROBLEM),
        (0, {"HEADLESS_PM_PERMISSION_MODE": "bypassPermissions", "IS_SANDBOX": "true"}, Judgement.PROBLEM),
        (0, {"HEADLESS_PM_PERMISSION_MODE": "bypassPermissions", "IS_SANDBOX": "1"}, Judgement.OK),
        (1000, {"HEADLESS_PM_PERMISSION_MODE": "bypassPermissions"}, Judgement.OK),
        (0, {"AGENT_COMMAND": "claude -p --dangerously-skip-permissions"}, Judgement.PROBLEM),
        (0, {"HEADLESS_PM_PERMISSION_MODE": "acceptEdits"}, Judgement.OK),
    ],
)
def test_root_may_not_leave_the_agent_unguarded(
    tmp_path: Path, user_id: int, environ: dict[str, str], judgement: Judgement
) -> None:
    config = load({}, {"HOME": str(tmp_path), **environ}, directory=tmp_path).config

    (finding,) = agent.permissions(Installation(config, environ, user_id, tmp_path))

    assert finding.judgement is judgement


def test_a_server_that_is_not_there_is_a_problem_told_in_seconds(patient: Patient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        told = only(patient.findings(code=1, HEADLESS_PM_API_URL=url), "server")

    assert told[1] == f"{url}: GET /health: connection refused"


def test_a_server_that_never_answers_holds_doctor_up_for_seconds_only(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        told = only(
            patient.findings(code=1, HEADLESS_PM_API_URL=f"http://127.0.0.1:{silent.getsockname()[1]}"), "server"
        )

    assert told[0] == "problem"
    assert time.monotonic() - begun < 20


def test_a_wrong_key_is_a_problem_and_is_not_shown(patient: Patient) -> None:
    ran = patient.ask(HEADLESS_PM_API_KEY="wrong-key-of-mine")

    assert ran.returncode == 1
    assert "problem  server: " in ran.stdout
    assert "the API key is not accepted" in ran.stdout
    assert "wrong-key-of-mine" not in ran.stdout + ran.stderr


def test_a_missing_key_is_a_problem(patient: Patient) -> None:
    del patient.environ["HEADLESS_PM_API_KEY"]

    assert "api_key: not given" in only(patient.findings(code=1), "server")[1]


def test_an_agent_that_the_server_has_stored_otherwise_is_told(patient: Patient, pm: PmServer) -> None:
    pm.api.register("qa_9", "qa", "junior")

    as_qa = patient.findings("--role", "qa", "--agent-id", "qa_9", code=0)
    as_dev = patient.findings("--role", "backend_dev", "--agent-id", "qa_9", "--level", "junior", code=1)

    assert only(as_qa, "server")[1] == "agent qa_9 is stored there as junior, not as senior"
    assert only(as_dev, "server")[1] == "agent qa_9 is stored there as qa, not as backend_dev"


class SlowClock(http.server.BaseHTTPRequestHandler):
    """A server whose clock is two hours behind, and that calls every agent unknown."""

    writes: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        if self.path == "/health":
            then = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=2)
            self.answer(200, {"status": "degraded", "timestamp": then.isoformat()})
        elif "dev_9" in self.headers["X-API-Key"]:
            self.answer(404, {"detail": "Agent 'dev_9' not found"})
        else:
            self.answer(200, [])

    def do_POST(self) -> None:
        self.writes.append(self.path)
        self.answer(200, {})

    def answer(self, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow_clock() -> Iterator[str]:
    SlowClock.writes.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowClock) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_with_another_time_and_a_trouble_of_its_own_is_told(patient: Patient, slow_clock: str) -> None:
    found = patient.findings(code=0, HEADLESS_PM_API_URL=slow_clock)["server"]

    assert [one["judgement"] for one in found] == ["warning", "ok", "warning"]
    assert "is degraded" in found[0]["seen"]
    assert found[2]["seen"] in {f"its clock is {seconds} s behind ours" for seconds in (7199, 7200, 7201)}


def test_doctor_never_signs_an_agent_in(patient: Patient, slow_clock: str) -> None:
    patient.findings("--role", "qa", code=1, HEADLESS_PM_API_URL=slow_clock, HEADLESS_PM_API_KEY="key-of-dev_9")

    assert SlowClock.writes == []


@is_root
def test_a_process_1_that_does_not_collect_its_dead_is_told(patient: Patient) -> None:
    script = (
        "import os, subprocess, sys\n"
        "if os.fork() == 0:\n"
        "    for _ in range(5):\n"
        "        if os.fork() == 0: os._exit(0)\n"  # a child that nobody waits for, and soon an orphan
        "    os._exit(0)\n"
        "os.wait()\n"
        "sys.exit(subprocess.call(sys.argv[1:]))\n"
    )
    doctor_words = [sys.executable, "-m", "components.cli", "doctor", "--repo", str(patient.repository), "--json"]
    ran = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script, *doctor_words],
        env=patient.environ,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    if "unshare" in ran.stderr:
        pytest.skip("needs a process namespace of its own")

    (found,) = (one for one in json.loads(ran.stdout)["findings"] if one["name"] == "process 1")
    assert found["judgement"] == "warning"
    assert "does not collect processes that ended: 5 wait for it" in found["seen"]


def test_few_files_that_may_be_open_are_told(patient: Patient) -> None:
    words = [sys.executable, "-m", "components.cli", "doctor", "--repo", str(patient.repository)]
    ran = subprocess.run(
        ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *words],
        env=patient.environ,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert "warning  limits: 64 open files" in ran.stdout


def test_a_check_that_fails_itself_is_a_problem_and_no_traceback(patient: Patient) -> None:
    (patient.home / "locks").write_text("a file where a directory belongs")

    ran = patient.ask()

    assert ran.returncode == 1
    assert "problem  journals: it could not be looked at" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr


def test_where_no_server_is_configured_that_is_no_problem(patient: Patient) -> None:
    """Regression: `this installation cannot work yet`, though typed tasks need no server."""
    del patient.environ["HEADLESS_PM_API_URL"], patient.environ["HEADLESS_PM_API_KEY"]

    found = patient.findings(code=0)

    assert "`task`" in found["server"][-1]["seen"]


def test_a_store_of_a_newer_version_is_a_problem_and_is_left_alone(patient: Patient) -> None:
    made = Store(store_url.of_file(patient.home / "store.db"))
    made.add(Execution("a" * 32, Door.TASK, "p", "t", "t"))
    made.close()
    assert "1 executions" in patient.findings(code=0)["store"][0]["seen"]
    with sqlite3.connect(patient.home / "store.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    judgement, seen, remedy = only(patient.findings(code=1), "store")

    assert (judgement, "9999" in seen) == ("problem", True)
    assert "Upgrade" in remedy and "HEADLESS_PM_STORE" in remedy
    assert "--store" not in remedy  # no command has it


def test_a_damaged_store_and_one_set_aside_are_told_with_what_to_do(patient: Patient) -> None:
    (patient.home / "store.db").write_bytes(b"no database at all " * 400)
    (patient.home / "store.db.bad-20261121T000000-0").write_bytes(b"older")

    found = patient.findings(code=0)["store"]

    assert [one["judgement"] for one in found] == ["warning", "warning"]
    assert "damaged" in found[0]["seen"] and "agent-runner list" in found[0]["remedy"]
    assert "rm " in found[1]["remedy"]
    assert (patient.home / "store.db").exists()


def test_a_store_at_a_server_that_is_away_is_told_with_what_to_do(patient: Patient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://me:pass-of-mine@127.0.0.1:{taken.getsockname()[1]}/history"
        judgement, seen, remedy = only(patient.findings(code=1, HEADLESS_PM_STORE=url), "store")

    assert judgement == "problem"
    assert "HEADLESS_PM_STORE" in remedy
    assert "pass-of-mine" not in seen + remedy
