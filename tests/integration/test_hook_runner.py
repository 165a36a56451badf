"""Hooks as real scripts: what their ends mean, what may not run, and what they can never do to the runner."""

from __future__ import annotations

import grp
import json
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components import hook_file
from components.errors import ConfigError, HookPostponed, NotFound
from components.hook_runner import OUTPUT_CHARACTERS, Decision, HookRunner
from tests.waiting import until

ROOT = Path(__file__).parents[2]
PAYLOAD = {"moment": "pre_task", "task": {"id": "1"}}
STRANGER = 12_345

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    directory = tmp_path / "hooks"
    directory.mkdir(mode=0o755)
    return directory


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def shell(path: Path, text: str) -> Path:
    return script(path, f"#!/bin/sh\n{text}\n")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def strays(tmp_path: Path) -> Iterator[Path]:
    """A file for the pids of what a hook leaves behind; they are ended with the test."""
    path = tmp_path / "strays"
    yield path
    for pid in path.read_text().split() if path.exists() else ():
        if is_alive(int(pid)):
            os.kill(int(pid), signal.SIGKILL)


def test_no_hook_is_a_go(hooks: Path) -> None:
    outcome = HookRunner(hooks).run("pre_task", PAYLOAD)

    assert (outcome.decision, outcome.detail, outcome.output) == (Decision.GO, "", "")


def test_no_hooks_directory_is_a_go(tmp_path: Path) -> None:
    assert HookRunner(tmp_path / "none").run("pre_task", PAYLOAD).decision is Decision.GO


def test_a_hooks_directory_that_is_a_file_stops_the_gate(tmp_path: Path) -> None:
    path = script(tmp_path / "hooks", "")

    outcome = HookRunner(path).run("pre_task", PAYLOAD)

    assert outcome.decision is Decision.NO
    assert str(path) in outcome.detail


@pytest.mark.parametrize(
    ("code", "decision"), [(0, Decision.GO), (75, Decision.LATER), (1, Decision.NO), (2, Decision.NO)]
)
def test_an_exit_code_is_an_answer(hooks: Path, code: int, decision: Decision) -> None:
    shell(hooks / "pre_task", f"echo because >&2; exit {code}")

    outcome = HookRunner(hooks).run("pre_task", PAYLOAD)

    assert outcome.decision is decision
    assert outcome.output == "because\n"


def test_a_refusal_says_which_hook_and_why_and_what_to_do(hooks: Path) -> None:
    shell(hooks / "pre_task.sh", "echo chatter; echo 'the fridge is empty' >&2; exit 3")

    detail = HookRunner(hooks).run("pre_task", PAYLOAD).detail

    assert detail == (
        f"pre_task.sh said no (exit code 3): the fridge is empty; correct what it names, or change the hook in {hooks}"
    )


def test_a_hook_ended_by_a_signal_stops_the_gate(hooks: Path) -> None:
    shell(hooks / "pre_task", "kill -SEGV $$")

    outcome = HookRunner(hooks).run("pre_task", PAYLOAD)

    assert outcome.decision is Decision.NO
    assert "SIGSEGV" in outcome.detail


def test_the_payload_comes_on_standard_input(hooks: Path) -> None:
    shell(hooks / "pre_task", "cat")

    assert json.loads(HookRunner(hooks).run("pre_task", PAYLOAD).output) == PAYLOAD


def test_a_python_hook_needs_no_mode_and_gets_the_runners_python(hooks: Path) -> None:
    script(hooks / "pre_task.py", "import sys; print(sys.executable)", mode=0o644)

    assert HookRunner(hooks).run("pre_task", PAYLOAD).output.strip() == sys.executable


def test_a_python_hook_can_import_its_neighbour_and_find_itself(hooks: Path) -> None:
    script(hooks / "shared.py", "WORD = 'found'", mode=0o644)
    script(hooks / "pre_task.py", "import shared; print(shared.WORD, __file__)", mode=0o644)

    assert HookRunner(hooks, env={"PYTHONDONTWRITEBYTECODE": "1"}).run("pre_task", PAYLOAD).output.split() == [
        "found",
        str(hooks / "pre_task.py"),
    ]


def test_a_hook_that_never_reads_ten_megabytes_is_no_trouble(hooks: Path) -> None:
    shell(hooks / "pre_task", "exit 0")

    outcome = HookRunner(hooks).run("pre_task", {"description": "x" * 10_000_000})

    assert outcome.decision is Decision.GO


def test_ten_megabytes_of_payload_arrive_whole(hooks: Path) -> None:
    shell(hooks / "pre_task", "wc -c")
    payload = {"description": "x" * 10_000_000}

    assert int(HookRunner(hooks).run("pre_task", payload).output) == len(json.dumps(payload))


def test_a_child_left_behind_with_the_output_open_is_not_waited_for(hooks: Path, strays: Path) -> None:
    shell(hooks / "pre_task", f"sleep 60 & echo $! > {strays}")

    outcome = HookRunner(hooks, timeout=30).run("pre_task", PAYLOAD)

    assert outcome.decision is Decision.GO
    assert outcome.seconds < 20
    assert is_alive(int(strays.read_text()))


def test_the_time_limit_ends_the_hook_and_its_grandchild_in_a_session_of_its_own(hooks: Path, strays: Path) -> None:
    """Defects 20 and 22: the limit was ignored, and a grandchild lived on."""
    shell(hooks / "pre_task", f"setsid sh -c 'echo $$ > {strays}; exec sleep 60' & wait")

    outcome = HookRunner(hooks, timeout=1.5).run("pre_task", PAYLOAD)

    assert outcome.decision is Decision.NO
    assert "time limit of 1.5 s" in outcome.detail
    assert "HEADLESS_PM_HOOK_TIMEOUT" in outcome.detail
    assert outcome.seconds < 20
    pid = int(until(strays.read_text, "the grandchild's pid"))
    until(lambda: not is_alive(pid), "the grandchild's end")


def test_a_flood_of_output_ends_the_hook_and_not_the_runner(hooks: Path) -> None:
    flood = "import sys, time\nfor _ in range(1024):\n    sys.stdout.write('x' * (1 << 20)); time.sleep(0.005)\n"
    script(hooks / "pre_task.py", flood)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    outcome = HookRunner(hooks, timeout=60).run("pre_task", PAYLOAD)

    assert outcome.decision is Decision.NO
    assert "more than 16 MB" in outcome.detail
    assert len(outcome.output) <= OUTPUT_CHARACTERS + 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_of_a_long_output_the_beginning_and_the_end_are_kept(hooks: Path) -> None:
    shell(hooks / "pre_task", "echo first; yes middle | head -n 20000; echo last")

    output = HookRunner(hooks).run("pre_task", PAYLOAD).output

    assert output.startswith("first\n")
    assert output.endswith("last\n")
    assert "left out" in output
    assert len(output) <= OUTPUT_CHARACTERS


def test_output_that_is_no_text_is_no_trouble(hooks: Path) -> None:
    shell(hooks / "pre_task", "printf '\\377\\376'; exit 1")

    assert HookRunner(hooks).run("pre_task", PAYLOAD).decision is Decision.NO


def test_output_is_shown_with_the_hooks_name(hooks: Path) -> None:
    shell(hooks / "pre_task", "echo one; echo two")
    shown: list[str] = []

    HookRunner(hooks, show=shown.append).run("pre_task", PAYLOAD)

    assert shown == ["pre_task: one", "pre_task: two"]


def test_all_scripts_of_a_moment_run_in_order(hooks: Path) -> None:
    script(hooks / "pre_task.py", "print('1')")
    shell(hooks / "pre_task", "echo 2")
    shell(hooks / "pre_task.sh", "echo 3")
    shell(hooks / "pre_task.d" / "10-b", "echo 4")
    script(hooks / "pre_task.d" / "20-a.py", "print('5')")
    shell(hooks / "post_task", "echo another moment")

    assert HookRunner(hooks).run("pre_task", PAYLOAD).output == "1\n2\n3\n4\n5\n"


def test_hidden_files_backups_and_folders_are_no_hooks(hooks: Path) -> None:
    for name in (".10-off", "10-on~"):
        shell(hooks / "pre_task.d" / name, "exit 1")
    (hooks / "pre_task.d" / "__pycache__").mkdir()
    (hooks / "pre_task").mkdir()

    assert HookRunner(hooks).run("pre_task", PAYLOAD).decision is Decision.GO


def test_the_first_no_ends_a_gate(hooks: Path, tmp_path: Path) -> None:
    shell(hooks / "pre_task.d" / "10", "exit 75")
    shell(hooks / "pre_task.d" / "20", f"touch {tmp_path}/ran")

    outcome = HookRunner(hooks).run("pre_task", PAYLOAD)

    assert outcome.decision is Decision.LATER
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("moment", ["post_task", "health_check", "error"])
def test_at_other_moments_all_run_and_the_worst_counts(hooks: Path, tmp_path: Path, moment: str) -> None:
    shell(hooks / f"{moment}.d" / "10", "exit 75")
    shell(hooks / f"{moment}.d" / "20", "echo the worst; exit 1")
    shell(hooks / f"{moment}.d" / "30", f"touch {tmp_path}/ran")

    outcome = HookRunner(hooks).run(moment, PAYLOAD)

    assert outcome.decision is Decision.NO
    assert "20 said no (exit code 1): the worst" in outcome.detail
    assert (tmp_path / "ran").exists()


def test_what_cannot_be_called_is_no_hook(hooks: Path) -> None:
    """Once it was registered, and refused every task when it was called."""
    runner = HookRunner(hooks)

    with pytest.raises(TypeError, match="cannot be called"):
        runner.register("pre_task", "notify.sh")  # type: ignore[arg-type]

    assert runner.run("pre_task", {}).decision is Decision.GO


def test_an_unknown_moment_is_refused_by_name(hooks: Path) -> None:
    with pytest.raises(ConfigError, match=r"'\.\./pre_task' is not one of"):
        HookRunner(hooks).run("../pre_task", PAYLOAD)
    with pytest.raises(ConfigError, match="'before' is not one of"):
        HookRunner(hooks).register("before", print)


def test_a_hook_sees_only_what_was_let_through_and_no_key_even_so(hooks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADLESS_PM_API_KEY", "s3cret-environment")
    keys = {"HEADLESS_PM_API_KEY": "s3cret", "API_KEY": "s3cret", "ANTHROPIC_API_KEY": "s3cret"}
    shell(hooks / "pre_task", "env")

    for env in (None, {"PATH": os.defpath, "HEADLESS_PM_MIN_DISK_MB": "5", **keys}):
        output = HookRunner(hooks, env=env).run("pre_task", PAYLOAD).output
        assert "s3cret" not in output
        assert "AGENT_RUNNER_HOOK_MOMENT=pre_task" in output
        assert f"AGENT_RUNNER_HOOK_DIRECTORY={hooks}" in output
        assert ("HEADLESS_PM_MIN_DISK_MB=5" in output) is (env is not None)


def test_a_hook_never_gets_the_runners_standard_input(hooks: Path) -> None:
    """R13: a failing hook led to a prompt, which ended the daemon where there was no terminal."""
    shell(hooks / "pre_task", "cat > /dev/null; exit 1")
    reading, writing = os.pipe()
    program = (
        "import sys; from pathlib import Path; from components.hook_runner import HookRunner;"
        f"print(HookRunner(Path({str(hooks)!r})).run('pre_task', {{}}).decision); print(sys.stdin.read())"
    )
    os.write(writing, b"for the runner")
    os.close(writing)

    done = subprocess.run([sys.executable, "-c", program], stdin=reading, capture_output=True, check=True, cwd=ROOT)
    os.close(reading)

    assert done.stdout.split(b"\n")[:2] == [b"no", b"for the runner"]


class TestWhatMayNotRun:
    """R15: hooks failed open, and were made executable on the fly."""

    def refused(self, hooks: Path, moment: str = "pre_task") -> str:
        outcome = HookRunner(hooks).run(moment, PAYLOAD)
        assert outcome.decision is Decision.NO
        assert "ran\n" not in outcome.output
        return outcome.detail

    def test_a_script_that_is_not_executable(self, hooks: Path) -> None:
        path = script(hooks / "pre_task", "#!/bin/sh\necho ran\n", mode=0o644)

        assert self.refused(hooks) == f"pre_task was not run: it is not executable; run: chmod u+x '{path}'"
        assert path.stat().st_mode & 0o777 == 0o644

    def test_a_script_that_everybody_can_change(self, hooks: Path) -> None:
        path = script(hooks / "pre_task.py", "print('ran')", mode=0o646)

        assert f"can be changed by every user; run: chmod go-w '{path}'" in self.refused(hooks)

    def test_the_remedy_that_is_named_works(self, hooks: Path) -> None:
        script(hooks / "pre_task.py", "print('ran')", mode=0o666)
        detail = self.refused(hooks)

        subprocess.run(detail.partition("; run: ")[2], shell=True, check=True)

        assert HookRunner(hooks).run("pre_task", PAYLOAD).output == "ran\n"

    def test_a_script_in_a_directory_that_everybody_can_change(self, hooks: Path) -> None:
        script(hooks / "pre_task.py", "print('ran')")
        hooks.chmod(0o777)

        assert f"chmod go-w '{hooks}'" in self.refused(hooks)

    def test_a_script_in_a_folder_that_everybody_can_change(self, hooks: Path) -> None:
        shell(hooks / "pre_task.d" / "10", "echo ran")
        (hooks / "pre_task.d").chmod(0o777)

        assert f"chmod go-w '{hooks / 'pre_task.d'}'" in self.refused(hooks)

    def test_a_link_that_everybody_can_turn_elsewhere(self, hooks: Path) -> None:
        shell(hooks / "lib" / "check", "echo ran")
        (hooks / "pre_task.d").mkdir()
        (hooks / "pre_task.d" / "10").symlink_to("../lib/check")
        (hooks / "pre_task.d").chmod(0o777)

        assert f"chmod go-w '{hooks / 'pre_task.d'}'" in self.refused(hooks)

    def test_a_link_out_of_the_directory(self, hooks: Path, tmp_path: Path) -> None:
        target = shell(tmp_path / "elsewhere", "echo ran")
        (hooks / "pre_task").symlink_to(target)

        assert f"a link that leads out of {hooks}, to {target}" in self.refused(hooks)

    def test_a_folder_that_is_a_link_out_of_the_directory(self, hooks: Path, tmp_path: Path) -> None:
        shell(tmp_path / "elsewhere.d" / "10", "echo ran")
        (hooks / "pre_task.d").symlink_to(tmp_path / "elsewhere.d")

        assert "leads out of" in self.refused(hooks)

    def test_a_link_that_leads_nowhere(self, hooks: Path) -> None:
        (hooks / "pre_task").symlink_to("gone")

        assert "pre_task was not run: it cannot be opened" in self.refused(hooks)

    def test_a_pipe_in_the_place_of_a_script(self, hooks: Path) -> None:
        os.mkfifo(hooks / "pre_task.py")

        assert "not a regular file" in self.refused(hooks)

    def test_a_script_whose_interpreter_is_not_there(self, hooks: Path) -> None:
        script(hooks / "pre_task", "#!/no/such/interpreter\n")

        assert "could not be started" in self.refused(hooks)

    def test_a_script_without_a_first_line(self, hooks: Path) -> None:
        script(hooks / "pre_task", "echo ran\n")

        assert "#!/bin/sh" in self.refused(hooks)

    def test_a_notice_is_not_run_either_and_says_so(self, hooks: Path) -> None:
        script(hooks / "health_check.py", "print('ran')", mode=0o666)

        assert "was not run" in self.refused(hooks, "health_check")

    @as_root
    def test_a_script_of_somebody_else(self, hooks: Path) -> None:
        path = script(hooks / "pre_task.py", "print('ran')")
        os.chown(path, STRANGER, -1)

        assert f"belongs to user id {STRANGER}; run: chown 0 '{path}'" in self.refused(hooks)

    @as_root
    def test_a_script_in_the_directory_of_somebody_else(self, hooks: Path) -> None:
        script(hooks / "pre_task.py", "print('ran')")
        os.chown(hooks, STRANGER, -1)

        assert f"{hooks} belongs to user id {STRANGER}" in self.refused(hooks)

    @as_root
    def test_a_script_that_a_shared_group_can_change(self, hooks: Path) -> None:
        path = script(hooks / "pre_task.py", "print('ran')", mode=0o664)
        os.chown(path, -1, STRANGER)

        assert f"every member of group id {STRANGER}" in self.refused(hooks)


def test_a_link_inside_the_directory_is_followed(hooks: Path) -> None:
    shell(hooks / "lib" / "check", "echo ran")
    (hooks / "pre_task").symlink_to("lib/check")

    assert HookRunner(hooks).run("pre_task", PAYLOAD).output == "ran\n"


def test_a_hooks_directory_may_itself_be_a_link(hooks: Path, tmp_path: Path) -> None:
    shell(hooks / "pre_task", "echo ran")
    (tmp_path / "link").symlink_to(hooks)

    assert HookRunner(tmp_path / "link").run("pre_task", PAYLOAD).output == "ran\n"


def test_what_was_checked_is_what_is_run(hooks: Path, tmp_path: Path) -> None:
    """A directory that is swapped between the check and the start changes nothing."""
    shell(hooks / "pre_task.d" / "10", f"mv {hooks} {tmp_path}/moved; mkdir -p {hooks}/pre_task.d; exit 0")
    shell(hooks / "pre_task.d" / "20", "echo the one that was checked")

    outcome = HookRunner(hooks).run("pre_task", PAYLOAD)

    assert (outcome.decision, outcome.output) == (Decision.GO, "the one that was checked\n")


@as_root
def test_a_script_that_only_its_owners_private_group_can_change_runs(hooks: Path) -> None:
    if any(entry.pw_gid == 0 and entry.pw_uid != 0 for entry in pwd.getpwall()):
        pytest.skip("root shares its group here")
    script(hooks / "pre_task.py", "print('ran')", mode=0o664)
    hooks.chmod(0o775)

    assert HookRunner(hooks).run("pre_task", PAYLOAD).output == "ran\n"


def test_a_group_that_bears_another_name_is_nobodys_own() -> None:
    owners = {entry.pw_name for entry in pwd.getpwall() if entry.pw_uid in hook_file.owners()}
    others = [group for group in grp.getgrall() if group.gr_name not in owners]

    assert others
    assert not any(hook_file.is_private(group.gr_gid) for group in others)


def checkout(directory: Path, umask: int) -> Path:
    """Copy the program's files as a clone under a umask would make them."""
    modes = 0o777 & ~umask
    for name in ("components", "hooks"):
        copy = directory / name
        shutil.copytree(
            ROOT / name, copy, ignore=shutil.ignore_patterns("__pycache__", "demo", "headless_pm", "server")
        )
        for path in [copy, *copy.rglob("*")]:
            path.chmod(modes if path.is_dir() else modes & 0o666)
    return directory


def default_health(program: Path, hooks: Path) -> str:
    code = (
        "import sys; from pathlib import Path; from components.hook_runner import HookRunner;"
        f"outcome = HookRunner(Path({str(hooks)!r})).run('health_check', {{}});"
        "print(outcome.detail)"
    )
    return subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=program, capture_output=True, check=True, text=True
    ).stdout


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o000])
def test_the_hooks_of_a_fresh_clone_run_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    program = checkout(tmp_path, umask)

    assert "stdin is not the JSON" in default_health(program, program / "hooks")


@as_root
def test_the_hooks_of_a_clone_of_a_shared_group_run(tmp_path: Path) -> None:
    program = checkout(tmp_path, 0o002)
    for path in program.rglob("*"):
        os.chown(path, -1, STRANGER)

    assert "stdin is not the JSON" in default_health(program, program / "hooks")


@as_root
def test_a_hook_of_a_clone_that_another_group_can_change_is_refused(tmp_path: Path) -> None:
    program = checkout(tmp_path, 0o002)
    for path in program.rglob("*"):
        os.chown(path, -1, STRANGER)
    os.chown(program / "hooks" / "health_check.py", -1, STRANGER + 1)

    assert f"every member of group id {STRANGER + 1}" in default_health(program, program / "hooks")


def test_a_hook_of_a_clone_that_is_more_open_than_the_program_is_refused(tmp_path: Path) -> None:
    program = checkout(tmp_path, 0o022)
    (program / "hooks" / "health_check.py").chmod(0o666)

    assert "can be changed by every user" in default_health(program, program / "hooks")


def test_an_open_program_does_not_open_other_directories(tmp_path: Path, hooks: Path) -> None:
    (tmp_path / "clone").mkdir()
    program = checkout(tmp_path / "clone", 0o000)
    script(hooks / "health_check.py", "", mode=0o666)

    assert "can be changed by every user" in default_health(program, hooks)


class TestCallables:
    def test_they_are_asked_before_the_scripts_with_the_same_payload(self, hooks: Path, tmp_path: Path) -> None:
        shell(hooks / "pre_task", f"touch {tmp_path}/ran")
        runner = HookRunner(hooks)
        seen: list[bool] = []
        runner.register("pre_task", lambda payload: seen.append(payload == PAYLOAD and not (tmp_path / "ran").exists()))

        assert runner.run("pre_task", PAYLOAD).decision is Decision.GO
        assert seen == [True]
        assert (tmp_path / "ran").exists()

    def test_false_is_a_no_and_ends_the_gate(self, hooks: Path, tmp_path: Path) -> None:
        shell(hooks / "pre_task", f"touch {tmp_path}/ran")
        runner = HookRunner(hooks)
        runner.register("pre_task", lambda _: False)

        assert runner.run("pre_task", PAYLOAD).decision is Decision.NO
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("answer", [None, True, 0, ""])
    def test_anything_but_false_is_a_go(self, hooks: Path, answer: object) -> None:
        runner = HookRunner(hooks)
        runner.register("pre_task", lambda _: answer)

        assert runner.run("pre_task", PAYLOAD).decision is Decision.GO

    @pytest.mark.parametrize("moment", ["pre_task", "post_task"])
    def test_an_exception_is_a_no_with_its_text(self, hooks: Path, moment: str) -> None:
        def careful(_: object) -> None:
            raise RuntimeError("not on a Friday")

        runner = HookRunner(hooks)
        runner.register(moment, careful)
        outcome = runner.run(moment, PAYLOAD)

        assert outcome.decision is Decision.NO
        assert "careful said no: RuntimeError: not on a Friday" in outcome.detail

    def test_one_that_would_end_the_program_says_no(self, hooks: Path) -> None:
        """Once sys.exit() of a hook ended whoever had asked it."""
        runner = HookRunner(hooks)
        runner.register("post_task", lambda _: sys.exit("enough"))

        outcome = runner.run("post_task", PAYLOAD)

        assert outcome.decision is Decision.NO
        assert "said no: SystemExit: enough" in outcome.detail

    def test_the_operators_interrupt_is_not_an_answer(self, hooks: Path) -> None:
        def interrupted(_: object) -> None:
            raise KeyboardInterrupt

        runner = HookRunner(hooks)
        runner.register("post_task", interrupted)

        with pytest.raises(KeyboardInterrupt):
            runner.run("post_task", PAYLOAD)
        with ThreadPoolExecutor(1) as elsewhere:
            assert elsewhere.submit(runner.run, "post_task", PAYLOAD).result().decision is Decision.NO

    def test_one_can_ask_to_be_tried_again_later(self, hooks: Path) -> None:
        def busy(_: object) -> None:
            raise HookPostponed("after lunch")

        runner = HookRunner(hooks)
        runner.register("pre_task", busy)
        outcome = runner.run("pre_task", PAYLOAD)

        assert outcome.decision is Decision.LATER
        assert "after lunch" in outcome.detail

    def test_one_that_is_unregistered_is_not_asked(self, hooks: Path) -> None:
        runner = HookRunner(hooks)
        kept = runner.register("post_task", lambda _: True)
        gone = runner.register("pre_task", lambda _: False)

        runner.unregister(gone)

        assert runner.run("pre_task", PAYLOAD).decision is Decision.GO
        with pytest.raises(NotFound, match=f"'{gone}' is not registered; registered are: {kept}"):
            runner.unregister(gone)


def test_many_runs_leave_no_descriptor_and_no_process(hooks: Path) -> None:
    shell(hooks / "post_task.d" / "10", "exit 0")
    shell(hooks / "post_task.d" / "20", "exit 1")
    runner = HookRunner(hooks)
    runner.run("post_task", PAYLOAD)
    before = len(list(Path("/proc/self/fd").iterdir()))
    started = time.monotonic()

    for _ in range(10):
        runner.run("post_task", PAYLOAD)
        runner.run("pre_task", PAYLOAD)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert time.monotonic() - started < 60
