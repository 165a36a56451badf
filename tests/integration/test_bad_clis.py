"""Claude CLIs that misbehave: each has a verdict, a message that says what to do, and does no harm beyond its task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.descendants import EIGHT_KINDS, nobody_lives
from tests.fake_claude import KEY, Ending, FakeClaude, see_through
from tests.pm_server import PmServer, running_pm
from tests.runner import Runner, git
from tests.waiting import until

MakeRunner = Callable[..., Runner]
Play = Callable[..., Ending]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    """A server whose locks are atomic: nothing here is about claims, and so no claim has to settle."""
    with running_pm(tmp_path_factory.mktemp("pm")) as pm:
        yield pm


@pytest.fixture
def one(runner: MakeRunner) -> Runner:
    return runner()


@pytest.fixture
def play(one: Runner, pm: PmServer) -> Play:
    """Have an agent do a major task by a play, once by default, and tell how it ended."""

    def act(lines: str, *, complexity: str = "major", attempts: int = 1, **env: str) -> Ending:
        task = pm.api.task("A task", complexity=complexity)
        body = "\n".join(f"    {line}" for line in lines.strip("\n").splitlines())
        claude = FakeClaude(one, f"import os, subprocess, sys, time\ndef play(cli):\n{body}\n")
        end = see_through(one, task, HEADLESS_PM_MAX_ATTEMPTS=str(attempts), **env)
        assert claude.is_whole(), end.said
        return end

    return act


# -- that cannot be started


@pytest.mark.parametrize(
    ("script", "mode", "words"),
    [
        ("echo 2.1.330", 0o644, "is not an executable file"),
        ("echo '<html><body>Sign in to the proxy</body></html>'", 0o755, "told no version but '<html>"),
        ("exit 0", 0o755, "told no version"),
        ("echo 'no such thing' >&2; exit 3", 0o755, "failed with exit code 3: 'no such thing'"),
        ("echo garbage 1.2", 0o755, "told no version but 'garbage 1.2'"),
    ],
    ids=["not executable", "HTML", "nothing", "an error", "garbage"],
)
def test_a_cli_that_is_none_stops_the_runner_before_it_takes_a_task(
    one: Runner, pm: PmServer, script: str, mode: int, words: str
) -> None:
    task = pm.api.task("A task")
    claude = FakeClaude(one, "")
    claude.be(script)
    claude.program.chmod(mode)

    end = see_through(one, task)

    assert end.exit_code not in (0, 1, 3), end.said
    assert end.status == "created"
    assert words in end.said
    assert "npm install -g @anthropic-ai/claude-code" in end.said


def test_a_cli_that_is_missing_stops_the_runner_before_it_takes_a_task(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("A task")
    FakeClaude(one, "").program.unlink()

    end = see_through(one, task)

    assert end.exit_code not in (0, 1, 3), end.said
    assert end.status == "created"
    assert "HEADLESS_PM_CLAUDE_PATH" in end.said
    assert "there is no such file" in end.said


def test_a_cli_that_goes_away_gives_the_task_back(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("A task")
    claude = FakeClaude(one, "")
    claude.be(f"echo 2.1.330; rm {claude.program}")

    end = see_through(one, task)

    assert (end.reason, end.status) == ("agent_missing", "created"), end.said
    assert "agent-runner doctor" in end.notes


def test_a_program_in_another_format_gives_the_task_back(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("A task")
    claude = FakeClaude(one, "")
    claude.be(
        f"echo 2.1.330; head -c 100 /dev/urandom > {claude.program}.new; chmod 755 {claude.program}.new;"
        f" mv {claude.program}.new {claude.program}"
    )

    end = see_through(one, task)

    assert (end.reason, end.status) == ("agent_missing", "created"), end.said


@pytest.mark.parametrize(
    ("version", "words"), [("9.0.0 (Claude Code)", "newer than"), ("1.0.128 (Claude Code)", "older than")]
)
def test_a_version_that_was_not_tested_is_told_and_works(play: Play, version: str, words: str) -> None:
    end = play("cli.begin()\ncli.work()\ncli.end()", FAKE_CLAUDE_VERSION=version)

    assert (end.reason, end.status) == ("succeeded", "dev_done"), end.said
    assert words in end.said


# -- that say nothing, or nonsense


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("return 0", "exit code 0 and told no result"),
        ("cli.print('<html>\\n<body>502 Bad Gateway</body></html>')", "exit code 0 and told no result"),
        ('cli.work()\nprint(\'{"type":"assistant","mess\', end=\'\', flush=True)\nreturn 1', "exit code 1"),
        (
            "for junk in ('null', '[]', '7', '\"result\"', '{}', '{\"type\": 7}', '\\0' * 99, '[' * 9999):\n"
            "    cli.print(junk)",
            "told no result",
        ),
        ("sys.exit('Error: Invalid settings file')", "Invalid settings file"),
    ],
    ids=["nothing", "HTML", "half a line", "junk", "an error"],
)
def test_a_cli_that_tells_no_result_has_failed(play: Play, lines: str, words: str) -> None:
    end = play(lines)

    assert (end.reason, end.status) == ("agent_failed", "pending"), end.said
    assert words in end.notes


def test_junk_between_its_messages_does_no_harm(play: Play) -> None:
    end = play(
        "cli.begin()\ncli.print('Warning: no stdin data received in 3s')\ncli.print('')\n"
        "sys.stdout.buffer.write(b'\\xff\\xfe\\x00{\\n')\nsys.stdout.flush()\n"
        "cli.say(type='something/new', of='a later version')\ncli.print('\\x1b[2Jdone')\ncli.work()\ncli.end()"
    )

    assert (end.reason, end.status) == ("succeeded", "dev_done"), end.said


def test_lines_of_10_megabytes_do_no_harm(play: Play) -> None:
    end = play(
        "cli.begin()\ncall = cli.use('Read', file_path='x')\ncli.used(call, 'x' * 10_000_000)\n"
        "cli.talk('y' * 10_000_000)\ncli.print('z' * 10_000_000)\ncli.work()\ncli.end('All done.')"
    )

    assert (end.reason, end.status) == ("succeeded", "dev_done"), end.said
    assert len(end.notes) < 10_000
    assert len(end.said) < 50_000


def test_a_result_of_another_session_says_nothing_of_ours(play: Play) -> None:
    end = play(
        "cli.begin()\ncli.talk('I begin.')\n"
        "cli.say(type='result', subtype='success', is_error=False, result='All done.',"
        " session_id='00000000-0000-4000-8000-000000000000')\ncli.work()\nreturn 1"
    )

    assert end.status != "dev_done", end.said


# -- that do not end


@pytest.mark.timeout(120)
def test_a_cli_that_hangs_after_its_result_is_ended_and_its_work_is_done(play: Play) -> None:
    end = play("cli.begin()\ncli.work()\ncli.end()\ntime.sleep(600)", HEADLESS_PM_SILENCE_TIMEOUT="2")

    assert (end.reason, end.status) == ("succeeded", "dev_done"), end.said
    assert "after its result" in end.said


BACKGROUND = "cli.say(type='system', subtype='background_tasks_changed', tasks=[{'task_type': 'local_bash'}])\n"


@pytest.mark.parametrize(
    ("command", "reason"), [("sleep 600", "succeeded"), ("while :; do :; done", "stalled")], ids=["idle", "at work"]
)
def test_a_result_counts_when_only_what_does_nothing_is_left_in_the_background(
    play: Play, command: str, reason: str
) -> None:
    end = play(
        f"cli.begin()\ncli.work()\n{BACKGROUND}cli.end()\n"
        f"subprocess.run({command!r}, shell=True, start_new_session=True)",
        HEADLESS_PM_AFTER_RESULT="1",
        HEADLESS_PM_TOOL_TIMEOUT="2",
        HEADLESS_PM_GRACE="1",
    )

    assert (end.reason, end.status) == (reason, "dev_done" if reason == "succeeded" else "pending"), end.said
    assert "with commands in the background" in end.said


def test_a_cli_that_hangs_without_a_word_is_ended_as_stalled(play: Play) -> None:
    end = play("time.sleep(600)", HEADLESS_PM_SILENCE_TIMEOUT="1", HEADLESS_PM_GRACE="1")

    assert (end.reason, end.status) == ("stalled", "pending"), end.said
    assert "silence_timeout" in end.notes


def test_a_cli_that_is_ended_while_it_asks_the_service_again_is_not_held_against_the_task(play: Play) -> None:
    """Defect: the task was parked as one that takes too long, and the comment had no word of the service."""
    end = play(
        "cli.begin()\ncli.say(type='system', subtype='api_retry', attempt=1, error='unknown')\ntime.sleep(600)",
        HEADLESS_PM_CLAUDE_TIMEOUT="2",
        HEADLESS_PM_GRACE="1",
    )

    assert (end.reason, end.status) == ("overloaded", "created"), end.said
    assert ", asked again 1 time" in end.notes


def test_a_tool_that_hangs_has_the_time_of_a_tool(play: Play) -> None:
    end = play(
        "cli.begin()\ncli.use('Bash', command='cat')\ntime.sleep(600)",
        HEADLESS_PM_TOOL_TIMEOUT="1",
        HEADLESS_PM_GRACE="1",
    )

    assert (end.reason, end.status) == ("stalled", "pending"), end.said
    assert "Bash" in end.notes
    assert "tool_timeout" in end.notes


def test_a_cli_that_ignores_sigterm_is_killed_after_the_grace(play: Play, one: Runner) -> None:
    end = play(
        "import signal\nfor number in (1, 2, 3, 15):\n    signal.signal(number, signal.SIG_IGN)\n"
        "cli.begin()\nwhile True:\n    cli.talk('I go on')\n    time.sleep(0.1)",
        HEADLESS_PM_CLAUDE_TIMEOUT="1",
        HEADLESS_PM_GRACE="1",
    )

    assert (end.reason, end.status) == ("timed_out", "pending"), end.said
    assert "claude_timeout" in end.notes
    assert end.receipts[0]["exit"]["signal"] == 9


def test_a_cli_that_leaves_processes_behind_leaves_none(play: Play, one: Runner) -> None:
    end = play(f"cli.begin()\ncli.work()\nexec({EIGHT_KINDS!r}, globals())\ncli.end()")

    assert (end.reason, end.status) == ("succeeded", "dev_done"), end.said
    until(lambda: nobody_lives(one.directory), "the end of all that it started")


def test_nothing_is_left_of_what_nohup_started(play: Play, one: Runner) -> None:
    end = play(
        "cli.begin()\ncli.work()\n"
        "subprocess.run(['sh', '-c', 'nohup setsid sleep 600 >/dev/null 2>&1 & nohup sleep 600 >/dev/null 2>&1 &'])\n"
        "cli.end()"
    )

    assert (end.reason, end.status) == ("succeeded", "dev_done"), end.said
    until(lambda: nobody_lives(one.directory), "the end of all that it started")


def test_a_cli_that_asks_for_input_finds_nobody(play: Play, one: Runner) -> None:
    end = play(
        "cli.begin()\nassert sys.stdin.read() == ''\n"
        "try:\n    open('/dev/tty')\nexcept OSError:\n    cli.note('no terminal')\n"
        "sys.exit('Do you trust this directory? [y/N] no answer')"
    )

    assert (end.reason, end.status) == ("agent_failed", "pending"), end.said
    assert '"no terminal"' in (one.directory / "claude-ledger").read_text()
    assert "Do you trust this directory?" in end.notes


# -- that do harm


def test_a_cli_that_prints_its_key_is_not_quoted(play: Play, pm: PmServer) -> None:
    end = play(
        "key = os.environ['ANTHROPIC_API_KEY']\ncli.begin()\ncli.talk(key)\n"
        "cli.work(commit=False)\ncli.commit(message=f'Use {key}')\n"
        "sys.stderr.write(f'debug: {key}\\n')\ncli.end(f'x' * 1990 + key + ' and ghp_' + 'a' * 36, is_error=True)",
        attempts=2,
        HEADLESS_PM_VERBOSITY="2",
    )

    assert end.status == "pending", end.said
    documents = pm.api.get("/documents").text
    told = [str(receipt[part]) for receipt in end.receipts for part in ("verdict", "result")]
    for shown in (end.notes, end.said, documents, *told):
        assert KEY not in shown
        assert KEY[:20] not in shown
        assert "ghp_aaaa" not in shown


def test_a_cli_that_prints_its_key_where_it_succeeds_is_not_quoted(play: Play) -> None:
    end = play(
        "key = os.environ['ANTHROPIC_API_KEY']\ncli.begin()\ncli.write(f'{key}.txt', key)\n"
        "cli.commit(message=f'Use {key}')\ncli.end(f'I used {key}')"
    )

    assert end.status == "dev_done", end.said
    for shown in (end.notes, end.said):
        assert KEY not in shown


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("cli.work()", "succeeded"),
        ("cli.work(commit=False)", "no_work_done"),
    ],
    ids=["committed", "not committed"],
)
def test_a_cli_that_deletes_its_worktree_has_done_what_is_committed(play: Play, lines: str, reason: str) -> None:
    end = play(f"cli.begin()\n{lines}\nimport shutil\nshutil.rmtree(os.getcwd())\nos.chdir('/')\ncli.end()")

    assert end.reason == reason, end.said
    assert end.status == ("dev_done" if reason == "succeeded" else "pending")


def test_a_cli_that_deletes_the_repository_s_git_directory_is_not_done(play: Play) -> None:
    end = play("cli.begin()\ncli.work()\nimport shutil\nshutil.rmtree(cli.repository / '.git')\ncli.end()")

    assert end.status != "dev_done", end.said


HOOK = "#!/bin/sh\ntouch {trap}\n"
REWRITES = {
    "hooks path": "cli.git('config', 'core.hooksPath', hooks)",
    "hooks": "shutil.copytree(hooks, cli.repository / '.git' / 'hooks', dirs_exist_ok=True)",
    "fsmonitor": "cli.git('config', 'core.fsmonitor', hooks + '/post-commit')",
    "diff": (
        "cli.git('config', 'diff.external', hooks + '/post-commit')\n"
        "cli.git('config', 'diff.x.textconv', hooks + '/post-commit')\ncli.write('.gitattributes', '* diff=x\\n')"
    ),
    "pager, editor, signing, ssh": (
        "for name in ('core.pager', 'core.editor', 'gpg.program', 'core.sshCommand', 'credential.helper',"
        " 'core.askPass', 'sequence.editor'):\n"
        "    cli.git('config', name, hooks + '/post-commit')\ncli.git('config', 'commit.gpgSign', 'true')"
    ),
}


@pytest.mark.parametrize("rewrite", [pytest.param(lines, id=name) for name, lines in REWRITES.items()])
def test_a_cli_that_rewrites_git_s_configuration_has_us_run_none_of_it(
    play: Play, one: Runner, tmp_path: Path, rewrite: str
) -> None:
    trap, hooks = tmp_path / "trap", tmp_path / "evil-hooks"
    hooks.mkdir()
    for name in (
        "pre-commit",
        "post-commit",
        "post-checkout",
        "pre-push",
        "reference-transaction",
        "post-index-change",
    ):
        (hooks / name).write_text(HOOK.format(trap=trap))
        (hooks / name).chmod(0o755)

    end = play(
        f"import shutil\nhooks = {str(hooks)!r}\ncli.begin()\ncli.work()\ncli.write('left.txt', 'not committed')\n"
        f"{rewrite}\nif os.path.exists({str(trap)!r}):\n    os.remove({str(trap)!r})\ncli.end()"
    )

    assert not trap.exists()
    assert end.status in ("dev_done", "pending"), end.said


def test_a_cli_that_turns_the_remote_elsewhere_has_nothing_pushed_there(
    play: Play, one: Runner, tmp_path: Path
) -> None:
    for name in ("origin.git", "elsewhere.git"):
        git(one.repository, "init", "-q", "--bare", str(tmp_path / name))
    git(one.repository, "remote", "add", "origin", str(tmp_path / "origin.git"))

    elsewhere = str(tmp_path / "elsewhere.git")

    end = play(f"cli.begin()\ncli.work()\ncli.git('remote', 'set-url', 'origin', {elsewhere!r})\ncli.end()")

    assert end.reason == "succeeded", end.said
    assert git(tmp_path / "elsewhere.git", "branch", "--list") == ""
    assert "remote" in end.notes or "configuration" in end.notes, end.notes


def test_a_branch_is_pushed_where_nothing_was_turned(play: Play, one: Runner, tmp_path: Path) -> None:
    """What shows that the test above can fail."""
    git(one.repository, "init", "-q", "--bare", str(tmp_path / "origin.git"))
    git(one.repository, "remote", "add", "origin", str(tmp_path / "origin.git"))

    end = play("cli.begin()\ncli.work()\ncli.end()")

    assert end.reason == "succeeded", end.said
    assert "feature/task-" in git(tmp_path / "origin.git", "branch", "--list")


def test_a_merge_in_progress_is_kept_and_told(play: Play, one: Runner) -> None:
    end = play(
        "cli.begin()\nhere = cli.git('branch', '--show-current')\ncli.git('checkout', '-qb', 'other')\ncli.work()\n"
        "cli.git('checkout', '-q', here)\ncli.work('mine.txt')\ncli.git('merge', '--no-commit', '--no-ff', 'other')\n"
        "cli.end()"
    )

    assert (end.reason, end.status) == ("work_unfinished", "pending"), end.said
    assert "a merge is in progress" in end.notes
    assert "is kept" in end.said
    assert len(list((one.repository / ".worktrees").glob("*/mine.txt"))) == 1


def test_what_a_cli_writes_into_the_main_checkout_is_told_and_left(play: Play, one: Runner) -> None:
    end = play("cli.begin()\ncli.work()\n(cli.repository / 'README').write_text('changed')\ncli.end()")

    assert (end.reason, end.status) == ("succeeded", "dev_done"), end.said
    assert (one.repository / "README").read_text() == "changed"
    assert "main checkout" in end.notes, end.notes


def test_a_cli_that_deletes_its_run_directory_is_tried_so_often_and_no_more(play: Play, one: Runner) -> None:
    """A run without a directory was taken for one that never began, and begun again without end."""
    end = play(
        "cli.begin()\ncli.work()\ncli.end()\nimport glob, shutil\n"
        f"for path in glob.glob({str(one.home)!r} + '/runs/*'):\n    shutil.rmtree(path)",
        attempts=2,
    )

    assert (end.reason, end.status) == ("killed", "pending"), end.said
    assert "was deleted" in end.notes
    assert len(FakeClaude(one, "").ledger()) == 2


# -- with sessions and models


def test_a_session_that_is_lost_is_begun_anew(play: Play, one: Runner) -> None:
    end = play(
        "if cli.attempt == 1:\n    cli.begin()\n    cli.die()\n"
        "if cli.resumed:\n"
        "    said = f'No conversation found with session ID: {cli.session}'\n"
        "    cli.end('', is_error=True, subtype='error_during_execution', errors=[said])\n"
        "    sys.exit(said)\n"
        "cli.begin()\ncli.work()\ncli.end()",
        attempts=3,
    )

    assert (end.reasons, end.status) == (("killed", "session_lost", "succeeded"), "dev_done"), end.said


def test_a_session_that_is_lost_and_told_of_by_stderr_alone_is_begun_anew(play: Play) -> None:
    end = play(
        "if cli.attempt == 1:\n    cli.begin()\n    cli.die()\n"
        "if cli.resumed:\n    sys.exit(f'No conversation found with session ID: {cli.session}')\n"
        "cli.begin()\ncli.work()\ncli.end()",
        attempts=3,
    )

    assert (end.reasons, end.status) == (("killed", "session_lost", "succeeded"), "dev_done"), end.said


def test_a_session_id_in_use_is_changed_for_another(play: Play) -> None:
    """A transcript may be where the runner does not look; the id stays the same over attempts."""
    end = play(
        "used = os.environ['FAKE_CLAUDE_LEDGER'] + '.used'\n"
        "first = open(used).read() if os.path.exists(used) else cli.session\nopen(used, 'w').write(first)\n"
        "if cli.session == first:\n    sys.exit(f'Error: Session ID {cli.session} is already in use.')\n"
        "cli.begin()\ncli.work()\ncli.end()",
        attempts=3,
    )

    assert (end.reasons, end.status) == (("session_lost", "succeeded"), "dev_done"), end.said


def test_a_model_that_the_account_lacks_parks_the_task_at_once(play: Play) -> None:
    end = play(
        "cli.begin()\ncli.end(\"There's an issue with the selected model (sonnet). It may not exist or you may not"
        ' have access to it.", is_error=True, api_error_status=404)\nreturn 1',
        attempts=3,
    )

    assert (end.reasons, end.status) == (("model_missing",), "pending"), end.said
    assert "`models`" in end.notes
    assert "fallback_models" in end.notes


def test_an_account_that_lacks_one_model_is_not_held_for_all(play: Play, one: Runner) -> None:
    play("cli.begin()\ncli.end('no such model', is_error=True, api_error_status=404)\nreturn 1")

    assert not list((one.home / "accounts").glob("*")) if (one.home / "accounts").exists() else True


@pytest.mark.parametrize("code", [0, 130, 143])
def test_an_interruption_from_outside_is_no_success(play: Play, code: int) -> None:
    end = play(f"cli.begin()\ncli.work()\nreturn {code}")

    assert end.reason == ("agent_failed" if code == 0 else "killed"), end.said
    assert end.status == "pending"
