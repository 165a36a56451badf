"""The checks of a task's work: which are run, by what rules, and what becomes of them when somebody dies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components import killing
from components.run_directory import RunDirectory, RunState
from tests.pm_server import PmServer
from tests.runner import Runner, ended, git
from tests.waiting import until

MakeRunner = Callable[..., Runner]


def prepared(one: Runner, *, rules: str = "", agent: str = "", attempts: int = 1, **env: str) -> Runner:
    """Give a runner an agent that does some work, and its repository rules."""
    file = one.directory / "agent.sh"
    file.write_text(f"cat > /dev/null\n{agent or 'echo work > work.txt'}\ngit add -A && git commit -qm 'Do the work'\n")
    one.env |= {
        "AGENT_COMMAND": f"sh {file}",
        "HEADLESS_PM_EVIDENCE": "auto",
        "HEADLESS_PM_MAX_ATTEMPTS": str(attempts),
        **env,
    }
    if rules:
        (one.repository / ".agent-runner.yaml").write_text(rules)
        git(one.repository, "add", "-A")
        git(one.repository, "commit", "-qm", "Set the rules")
    return one


def receipt(one: Runner) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((one.runs()[-1].path / "result.json").read_text())
    return data


def checks(one: Runner) -> list[RunDirectory]:
    return [RunDirectory(path) for path in sorted((one.home / "checks").glob("*"))]


def waits_for(one: Runner, gate: str = "green") -> str:
    """Return a check that notes its start, and ends when there is a file of this name."""
    place = one.directory
    return f"echo $$ >> {place}/started; until [ -e {place}/{gate} ]; do sleep 0.05; done"


def is_checking(one: Runner) -> bool:
    return (one.directory / "started").exists()


def test_green_checks_let_the_work_count_and_are_told(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(
        runner(),
        rules="checks:\n  - {name: the file, run: grep -q work work.txt}\n",
        HEADLESS_PM_CHECKS="test -e work.txt",
    )
    task = pm.api.task("Do it", complexity="major")

    told = one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done", told.stdout
    assert "test -e work.txt passed" in notes
    assert "the file passed" in notes
    assert [end["exit_code"] for end in receipt(one)["checks"]["run"]] == [0, 0]


def test_a_red_check_is_told_with_its_last_words_and_the_next_are_not_run(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(
        runner(), rules="checks:\n  - name: unit\n    run: echo 3 of 7 are broken >&2; exit 3\n  - run: touch never\n"
    )
    task = pm.api.task("Do it")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "pending"
    for words in ("checks_failed", "unit ended with exit code 3", "3 of 7 are broken", "Not run: touch never"):
        assert words in notes
    assert not (one.repository / "never").exists()


def test_an_agent_that_mends_what_is_red_is_done(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(
        runner(),
        rules="checks: [test -e mended]\n",
        agent='echo work >> work.txt; [ "$AGENT_RUNNER_ATTEMPT" = 1 ] || touch mended',
        attempts=2,
    )
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"


def test_a_secret_in_a_check_s_command_is_not_told(runner: MakeRunner, pm: PmServer) -> None:
    """Regression: the receipt, the comment and the next attempt's prompt had the command as it was configured."""
    secret = "pmkey-supersecret-123456"
    one = prepared(runner(), HEADLESS_PM_CHECKS=f"test {secret} = {secret}x", attempts=2)
    one.env |= {"ANTHROPIC_API_KEY": secret}
    task = pm.api.task("Do it")
    (one.directory / "agent.sh").write_text(
        f"cat >> {one.directory}/prompt\ndate +%N > work.txt\ngit add -A && git commit -qm 'Do the work'\n"
    )

    one.run("--single-task")

    notes = ended(pm, task)[1]
    assert "test [secret] = [secret]x ended with exit code 1" in notes
    assert "test [secret] = [secret]x" in (one.directory / "prompt").read_text()
    for told in (notes, json.dumps(receipt(one)), (one.directory / "prompt").read_text()):
        assert secret not in told


def test_rules_that_an_agent_left_behind_with_rejected_work_are_not_believed(runner: MakeRunner, pm: PmServer) -> None:
    """Regression: a minor task that was parked for a red check left a file on main that switched the checks off."""
    one = prepared(
        runner(),
        rules="checks: [test ! -e bug.txt]\n",
        agent="echo 'checks: []' > .agent-runner.yaml; date +%N > bug.txt",
    )
    first = pm.api.task("Do it")
    one.run("--single-task")
    assert "checks_failed" in ended(pm, first)[1]
    second = pm.api.task("Do more")

    one.run("--single-task")

    assert "checks_failed" in ended(pm, second)[1]
    assert "was written by an agent whose task is not done" in ended(pm, second)[1]


def test_rules_that_somebody_has_written_since_are_believed_again(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(
        runner(),
        rules="checks: [test ! -e bug.txt]\n",
        agent="echo 'checks: []' > .agent-runner.yaml; date +%N > bug.txt",
    )
    task = pm.api.task("Do it")
    one.run("--single-task")
    assert "checks_failed" in ended(pm, task)[1]
    (one.repository / ".agent-runner.yaml").write_text("checks: [test -e bug.txt]\n")
    git(one.repository, "commit", "-qam", "Want it")
    later = pm.api.task("Do more")

    one.run("--single-task")

    status, notes = ended(pm, later)
    assert status == "dev_done", notes
    assert "test -e bug.txt passed" in notes


def test_the_agent_s_own_copy_of_the_rules_is_not_believed(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(
        runner(),
        rules="checks: [test -e never]\n",
        agent="echo 'checks: []' > .agent-runner.yaml; echo work > work.txt",
    )
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert "checks_failed" in ended(pm, task)[1]


def test_rules_that_an_earlier_claim_has_changed_are_not_believed(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(
        runner(), rules="checks: [test -e never]\n", agent="echo 'checks: []' > .agent-runner.yaml; date >> work.txt"
    )
    task = pm.api.task("Do it", complexity="major")
    one.run("--single-task")
    pm.api.status(task["id"], "pm_1", "created")

    one.run("--single-task")

    assert ended(pm, task)[0] == "pending"
    assert ended(pm, task)[1].count("checks_failed") == 2


def test_the_repository_s_rules_can_be_switched_off(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), rules="checks: [test -e never]\n", HEADLESS_PM_REPOSITORY_CHECKS="false")
    task = pm.api.task("Do it")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"


def test_a_mistake_in_the_rules_parks_the_task_and_is_named(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), rules="cheks:\n  - make test\n", attempts=3)
    task = pm.api.task("Do it")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "pending"
    assert "checks_unusable" in notes
    assert "cheks: unknown key; did you mean checks?" in notes
    assert len(one.runs()) == 1, "another attempt cannot mend it"


def test_a_check_over_its_time_is_ended_with_all_that_it_started(runner: MakeRunner, pm: PmServer) -> None:
    one = runner()
    prepared(
        one, rules=f"checks:\n  - {{run: '(echo $$ > {one.directory}/child; sleep 600) & sleep 600', timeout: 1}}\n"
    )
    task = pm.api.task("Do it")

    one.run("--single-task", HEADLESS_PM_GRACE="0.5")

    assert "took too long" in ended(pm, task)[1]
    assert checks(one)[0].state() is RunState.ENDED
    assert not [pid for pid in Path("/proc").iterdir() if pid.name.isdigit() and has_cookie(pid, checks(one)[0].name)]


def has_cookie(entry: Path, name: str) -> bool:
    try:
        return f"{killing.COOKIE}={name}".encode() in (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def test_a_check_sees_no_key(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(
        runner(), HEADLESS_PM_CHECKS="env; exit 1", ANTHROPIC_API_KEY="sk-model-key", HEADLESS_PM_ENVIRONMENT="COLOUR"
    )
    one.env["COLOUR"] = "blue"
    pm.api.task("Do it")

    one.run("--single-task")

    seen = checks(one)[0].out.read_text()
    assert "COLOUR=blue" in seen
    assert "AGENT_RUNNER_TASK_ID=" in seen
    assert pm.key not in seen
    assert "sk-model-key" not in seen


def test_a_check_outlives_its_killed_daemon_and_is_taken_up_by_the_next(runner: MakeRunner, pm: PmServer) -> None:
    for complexity in ("major", "minor"):
        one = runner()
        (one.directory / "started").unlink(missing_ok=True)
        (one.directory / "green").unlink(missing_ok=True)
        prepared(one, HEADLESS_PM_CHECKS=waits_for(one), agent="date +%N >> work.txt")
        task = pm.api.task("Do it", complexity=complexity)
        first = one.start("--single-task")
        until(lambda: is_checking(one), "the check")  # noqa: B023
        one.kill(first)

        second = one.start("--single-task")
        until(lambda: one.said("Recovering previously locked task..."), "the recovery")  # noqa: B023
        (one.directory / "green").touch()

        assert second.wait(30) == 0
        assert ended(pm, task)[0] == "dev_done"
        assert len((one.directory / "started").read_text().splitlines()) == 1
        one.log.unlink()


def test_a_check_whose_end_nobody_saw_is_run_again(runner: MakeRunner, pm: PmServer) -> None:
    one = runner()
    prepared(one, HEADLESS_PM_CHECKS=waits_for(one))
    task = pm.api.task("Do it")
    first = one.start("--single-task")
    until(lambda: is_checking(one), "the check")
    (check,) = checks(one)
    one.kill(first)
    for who in ("shim", "agent"):
        os.kill(check.pids()[who].pid, signal.SIGKILL)
    (one.directory / "green").touch()

    ended_as = one.run("--single-task").returncode

    assert ended_as == 0
    assert ended(pm, task)[0] == "dev_done"
    assert [run.name.rpartition(".")[2] for run in checks(one)] == ["1", "2"]


def test_a_check_has_its_time_limit_also_where_its_shim_was_killed(runner: MakeRunner, pm: PmServer) -> None:
    """Defect: the limit was the shim's alone, and died with it."""
    one = runner()
    prepared(one, HEADLESS_PM_CHECKS=waits_for(one), HEADLESS_PM_CHECK_TIMEOUT="4")
    task = pm.api.task("Do it")
    daemon = one.start("--single-task")
    until(lambda: is_checking(one), "the check")
    (check,) = checks(one)
    os.kill(check.pids()["shim"].pid, signal.SIGKILL)

    assert daemon.wait(40) == 1

    assert check.state() is RunState.VANISHED
    assert "took too long" in ended(pm, task)[1]


def test_a_term_leaves_a_check_at_work_and_a_stop_ends_it(runner: MakeRunner, pm: PmServer) -> None:
    one = runner()
    prepared(one, HEADLESS_PM_CHECKS=waits_for(one))
    task = pm.api.task("Do it")
    leaving = one.start("--single-task")
    until(lambda: is_checking(one), "the check")
    leaving.terminate()
    assert leaving.wait(10) == 0
    assert checks(one)[0].state() is RunState.ALIVE

    stopping = one.start("--single-task", "--on-term", "stop")
    until(lambda: one.said("Recovering previously locked task..."), "the recovery")
    stopping.terminate()

    stopping.wait(30)
    assert checks(one)[0].state() is RunState.ENDED
    status, notes = ended(pm, task)
    assert status == "created"
    assert "runner_stopped" in notes


def test_an_architect_s_task_has_no_checks(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(agent_id="arch_1"), HEADLESS_PM_CHECKS="false")
    task = pm.api.task("Think", target_role="architect")

    one.run("--single-task", role="architect")

    assert ended(pm, task)[0] == "dev_done"
