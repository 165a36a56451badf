"""True and false completions: no agent's word makes a task done that is not, and no work that is done is missed.

Each row is what a Claude CLI does between the beginning of its session and the result in which it says that all is
done. The verdict is that of the whole runner, as the server shows it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.fake_claude import Ending, FakeClaude, ending, see_through
from tests.pm_server import PmServer, running_pm
from tests.runner import Runner, git
from tests.waiting import until

MakeRunner = Callable[..., Runner]
Agent = Callable[..., Ending]
Queue = Callable[..., dict[str, Ending]]
QUEUE_SECONDS = 200
FILES = {
    ".gitignore": "build/\n",
    "app.py": "def f(x):\n    if x:\n        print(x)\n    return x\n",
    "notes.txt": "one\ntwo\nthree\n",
    "run.sh": "#!/bin/sh\necho run\n",
}
OTHER = "cli.git('checkout', '-qb', cli.branch('other'))\n"
BACK = "cli.git('checkout', '-q', '-')\n"
CONFLICT = (
    OTHER
    + "cli.write('notes.txt', 'one\\nTHEIRS\\nthree\\n')\ncli.commit()\n"
    + BACK
    + "cli.write('notes.txt', 'one\\nOURS\\nthree\\n')\ncli.commit()\n"
)
MERGE = "cli.git('merge', cli.branch('other'), check=False)\n"
MAIN_MOVES = """
import subprocess
(cli.repository / f"{cli.branch('else')}.txt").write_text("somebody else's\\n")
for words in (["add", "-A"], ["commit", "-qm", "Somebody else's work"]):
    subprocess.run(["git", *words], cwd=cli.repository, check=True, capture_output=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    """A server whose locks are atomic: nothing here is about claims, and so no claim has to settle."""
    with running_pm(tmp_path_factory.mktemp("pm")) as pm:
        yield pm


PERSON = """
import pathlib, subprocess
cli.talk('I look at it.')
def person(*words, name='Ann', traced=False):
    env = {key: value for key, value in os.environ.items() if traced or key != 'GIT_TRACE2'}
    who = ['-c', f'user.name={name}', '-c', f'user.email={name}@example.invalid'] if name else []
    done = subprocess.run(['git', *who, *words], env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()
def put(file, text='a person has written this\\n'):
    pathlib.Path(file).write_text(text)
def theirs(file='theirs.txt', branch='theirs'):
    here = person('branch', '--show-current')
    person('checkout', '-qb', cli.branch(branch))
    put(file + cli.branch(''))
    person('add', '-A')
    person('commit', '-qm', 'Her work')
    person('checkout', '-q', here)
"""
"""What a person does beside an agent that only talks."""


def played(plays: Mapping[int, str]) -> str:
    """Return the play of a CLI that plays for each task what is said under its id."""
    begun = "".join(
        f"def play_{task}(cli):\n{textwrap.indent(play.strip(), '    ')}\n    cli.end()\n"
        for task, play in plays.items()
    )
    chosen = "    return globals()['play_' + os.environ['AGENT_RUNNER_TASK_ID']](cli)"
    return f"import os\n{begun}def play(cli):\n    cli.begin()\n{chosen}\n"


def with_files(one: Runner, **files: str) -> Runner:
    """Commit files to the runner's repository."""
    for name, content in (FILES | files).items():
        Path(one.repository, name).write_text(content)
    git(one.repository, "add", "-A")
    git(one.repository, "commit", "-qm", "Files")
    return one


@pytest.fixture
def agent(runner: MakeRunner, pm: PmServer) -> Agent:
    """Have one agent do a task by a play, once by default, and tell how it ended."""

    def act(play: str, *, complexity: str = "major", attempts: int = 1, left: str = "", **env: str) -> Ending:
        task = pm.api.task("A task", complexity=complexity)
        one = with_files(runner())
        if left:
            Path(one.repository, left).write_text("somebody's\n")
        claude = FakeClaude(one, played({task["id"]: play}))
        end = see_through(one, task, HEADLESS_PM_MAX_ATTEMPTS=str(attempts), **env)
        assert claude.is_whole(), end.said
        return end

    return act


@pytest.fixture
def queue(runner: MakeRunner, pm: PmServer) -> Queue:
    """Have one daemon do a queue of tasks, a play for each by its name, and tell how each of them ended.

    What one agent leaves behind in the repository is there for those after it.
    """

    def work(
        plays: Mapping[str, str], *, role: str = "backend_dev", complexity: str = "major", **env: str
    ) -> dict[str, Ending]:
        fields = {"target_role": "backend_dev", "status": "dev_done"} if role == "qa" else {"target_role": role}
        tasks = {name: pm.api.task(name, complexity=complexity, **fields) for name in plays}
        one = with_files(runner(agent_id=f"{role}_1"))
        claude = FakeClaude(one, played({tasks[name]["id"]: play for name, play in plays.items()}))
        daemon = one.start("--max-tasks", str(len(plays)), role=role, HEADLESS_PM_MAX_ATTEMPTS="1", **env)
        assert daemon.wait(QUEUE_SECONDS) == 0
        assert claude.is_whole()
        return {name: ending(one, task, "") for name, task in tasks.items()}

    return work


def wrong(ends: Mapping[str, Ending], wanted: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return what did not end with the reason and the status that was wanted, by name."""
    return {
        name: f"{end.reasons} {end.status}: {end.notes}"
        for name, end in ends.items()
        if (end.reason, end.status) != wanted[name] or end.reasons != (wanted[name][0],)
    }


DENIED = "{'tool_name': 'Write', 'tool_use_id': 'toolu_1', 'tool_input': {}}"
DONE = {
    "a commit": "cli.work()",
    "a change that is not committed": "cli.work('notes.txt', commit=False)",
    "a new file that is not committed": "cli.work(commit=False)",
    "a commit, and a change after it": "cli.work()\ncli.work('notes.txt', commit=False)",
    "a file removed": "cli.git('rm', '-q', 'notes.txt')\ncli.commit()",
    "a file removed, not committed": "os.remove('notes.txt')",
    "a file renamed": "cli.git('mv', 'notes.txt', 'renamed.txt')\ncli.commit()",
    "a new file that is empty": "cli.write('package/__init__.py', '')\ncli.commit()",
    "a program made executable": "os.chmod('run.sh', 0o755)\ncli.commit()",
    "a binary file": "open('picture.png', 'wb').write(bytes(range(256)))\ncli.commit()",
    "a link": "os.symlink('notes.txt', 'link')\ncli.commit()",
    "a file with an odd name": "cli.write('ä \"b\" -x', 'text')\ncli.commit()",
    "indentation that has a meaning": (
        "cli.write('app.py', open('app.py').read().replace('    ret', '        ret'))\ncli.commit()"
    ),
    "a commit, and another that was undone": (
        "cli.work()\ncli.work('notes.txt')\ncli.git('revert', '--no-edit', 'HEAD')"
    ),
    "a heading underlined as a conflict is": "cli.write('doc.md', 'A heading\\n=======\\n\\ntext\\n')\ncli.commit()",
    "a text that shows what a conflict looks like": (
        "cli.write('doc.md', '    <<<<<<< ours\\n    =======\\n    >>>>>>> theirs\\n')\ncli.commit()"
    ),
    "a conflict that was resolved": f"{CONFLICT}{MERGE}cli.write('notes.txt', 'one\\nBOTH\\nthree\\n')\ncli.commit()",
    "a commit while the trunk moves": f"cli.work()\n{MAIN_MOVES}",
    "a commit after the moved trunk was merged": f"{MAIN_MOVES}cli.git('merge', '-q', 'main')\ncli.work()",
    "a branch of its own that was merged back": f"{OTHER}cli.work()\n{BACK}{MERGE}",
    "a commit that was amended": "cli.work()\ncli.work('notes.txt', commit=False)\ncli.commit('--amend')",
    "a commit rebased onto the moved trunk": f"cli.work()\n{MAIN_MOVES}cli.git('rebase', '-q', 'main')",
    "a change that is staged": "cli.work(commit=False)\ncli.git('add', '-A')",
    "a file that git ignores, committed by force": (
        "cli.write('build/tool.sh', 'echo')\ncli.git('add', '-f', 'build/tool.sh')\ncli.git('commit', '-qm', 'Add it')"
    ),
    "a commit, and its worktree deleted after it": "cli.work()\nimport shutil\nshutil.rmtree(os.getcwd())",
    "a commit, and its git file deleted after it": "cli.work()\nos.remove('.git')",
    "words of errors in what it says": (
        "cli.work()\ncli.end('Mended \"API Error: 529\", exit code 1, and: Credit balance is too low.')\nreturn"
    ),
    "an exit code that is not 0": "cli.work()\ncli.end()\nreturn 1",
    "a result without words": "cli.work()\ncli.end('')\nreturn",
    "a tool that was denied, and work without it": f"cli.work()\ncli.end(permission_denials=[{DENIED}])\nreturn",
    "an error, and a result after it": (
        "cli.work()\ncli.end('API Error: 500', is_error=True, api_error_status=500)\ncli.begin()"
    ),
}
"""Work that is there, told in any way."""

NOTHING = {
    "nothing": "pass",
    "nothing, and says why": "cli.end('I could not do it: the specification is missing.')\nreturn",
    "an empty commit": "cli.commit('--allow-empty')",
    "a commit that was reverted": "cli.work()\ncli.git('revert', '--no-edit', 'HEAD')",
    "a commit that was reset": "cli.work()\ncli.git('reset', '-q', '--hard', 'HEAD^')",
    "a change that was stashed": "cli.work('notes.txt', commit=False)\ncli.git('stash', '-q')",
    "a commit on another branch": f"{OTHER}cli.work()\n{BACK}",
    "only output that git ignores": "cli.write('build/out.bin', 'output')",
    "only what tools leave": "cli.write('__pycache__/app.cpython-311.pyc', 'code')",
    "blanks at the ends of lines": "cli.write('notes.txt', 'one \\ntwo\\t\\nthree\\n')\ncli.commit()",
    "blank lines": "cli.write('notes.txt', 'one\\n\\n\\ntwo\\n\\nthree\\n')",
    "a commit, and another that takes it back": "cli.work()\ncli.git('rm', '-q', 'work.txt')\ncli.commit()",
    "the moved trunk, fast-forwarded": f"{MAIN_MOVES}cli.git('merge', '-q', '--ff-only', 'main')",
    "what the CLI keeps for itself": "cli.write('.claude/settings.local.json', '{}')",
    "a file that git was told to ignore": (
        "exclude = cli.git('rev-parse', '--git-path', 'info/exclude')\n"
        "open(exclude, 'a').write('hidden.txt\\n')\ncli.write('hidden.txt', 'work')"
    ),
    "a file touched": "os.utime('notes.txt')",
    "a change, and its worktree deleted": "cli.work(commit=False)\nimport shutil\nshutil.rmtree(os.getcwd())",
    "the moved trunk merged, and nothing more": f"{MAIN_MOVES}cli.git('merge', '-q', 'main')",
    "a file written into the main checkout": "(cli.repository / 'outside.txt').write_text('work')",
    "a repository of its own": "cli.git('init', '-q', 'inner')\ncli.write('inner/work.txt', 'work')",
    "tools that were all denied": f"cli.end('I may not write.', permission_denials=[{DENIED}])\nreturn",
}
"""No work, and an agent that says that it is done."""

UNFINISHED = {
    "a merge in progress": CONFLICT + MERGE,
    "a merge in progress without a conflict": (
        f"{OTHER}cli.work('a.txt')\n{BACK}cli.work('b.txt')\n"
        "cli.git('merge', '--no-commit', '--no-ff', cli.branch('other'))"
    ),
    "a rebase in progress": f"{CONFLICT}cli.git('rebase', cli.branch('other'), check=False)",
    "a cherry-pick in progress": f"{CONFLICT}cli.git('cherry-pick', cli.branch('other'), check=False)",
    "a revert in progress": (
        "cli.write('notes.txt', 'ONE\\ntwo\\n')\ncli.commit()\ncli.write('notes.txt', 'uno\\ndos\\n')\ncli.commit()\n"
        "cli.git('revert', '--no-edit', 'HEAD^', check=False)"
    ),
    "a stash that conflicts": (
        "cli.write('notes.txt', 'one\\nMINE\\nthree\\n')\ncli.git('stash', '-q')\n"
        "cli.write('notes.txt', 'one\\nOTHER\\nthree\\n')\ncli.commit()\ncli.git('stash', 'pop', check=False)"
    ),
    "conflict marks in a commit": f"{CONFLICT}{MERGE}cli.commit()",
    "conflict marks in a file that is not committed": (
        "cli.write('notes.txt', 'one\\n<<<<<<< HEAD\\nours\\n=======\\ntheirs\\n>>>>>>> other\\nthree\\n')"
    ),
    "another branch checked out": f"{OTHER}cli.work()",
    "no branch checked out": "cli.git('checkout', '-q', '--detach')\ncli.work()",
    "the history begun anew": (
        "here = cli.git('branch', '--show-current')\ncli.git('checkout', '-q', '--orphan', cli.branch('new'))\n"
        "cli.work()\ncli.git('branch', '-M', here)"
    ),
    "the commit before it amended": "cli.work(commit=False)\ncli.commit('--amend')",
}
"""Work that was left half done, and an agent that says that it is done."""

FAILED = {
    "an error as its result": "cli.work()\ncli.end('Something broke', is_error=True)\nreturn 1",
    "an error as its result, with exit code 0": "cli.work()\ncli.end('Something broke', is_error=True)\nreturn 0",
    "a result, and an error after it": (
        "cli.work()\ncli.end()\ncli.begin()\ncli.end('Something broke', is_error=True)\nreturn"
    ),
    "a result of an agent below it": "cli.work()\ncli.end('All done.', parent_tool_use_id='toolu_1')\nreturn 0",
    "an interruption": "cli.work()\ncli.end('', is_error=True, subtype='error_during_execution')\nreturn 0",
    "no result": "cli.work()\nreturn 0",
    "an answer, and no result": "cli.work()\ncli.talk('All done.')\nreturn 0",
    "half a result": (
        'cli.work()\nprint(\'{"type":"result","is_error":false,"result":"All\', end=\'\', flush=True)\nreturn 0'
    ),
    "a result that does not say whether it is an error": (
        "cli.work()\ncli.say(type='result', subtype='success', result='All done.')\nreturn 0"
    ),
    "a result whose word for an error is none": "cli.work()\ncli.end(is_error='false')\nreturn 0",
    "a result of its own within its words": (
        'cli.work()\ncli.talk(\'{"type":"result","subtype":"success","is_error":false}\')\nreturn 0'
    ),
}
"""Work that may be there, and an agent that did not end as it should."""

KILLED = {
    "its death": "cli.work()\ncli.die()",
    "its death after half a line": "cli.work()\nprint('{\"type\":\"assist', end='', flush=True)\ncli.die()",
    "a result, and another turn that is cut off": (
        "cli.work()\ncli.end()\ncli.begin()\ncli.talk('One thing more')\ncli.die()"
    ),
    "a result, and another turn that is only begun": "cli.work()\ncli.end()\ncli.begin()\ncli.die()",
}

SPENT = {
    "the limit of its turns": (
        "cli.work()\ncli.end('', is_error=True, subtype='error_max_turns', errors=['Reached maximum'])\nreturn 1"
    ),
    "the limit of its money": "cli.work()\ncli.end('', is_error=True, subtype='error_max_budget_usd')\nreturn 1",
}


@pytest.mark.timeout(QUEUE_SECONDS)
@pytest.mark.parametrize(
    ("plays", "reason"),
    [
        pytest.param(DONE, "succeeded", id="done"),
        pytest.param(NOTHING, "no_work_done", id="nothing"),
        pytest.param(UNFINISHED, "work_unfinished", id="unfinished"),
        pytest.param(FAILED, "agent_failed", id="failed"),
        pytest.param(KILLED, "killed", id="killed"),
        pytest.param(SPENT, "budget_exhausted", id="spent"),
    ],
)
def test_a_developer_s_task_is_done_when_its_work_is_there_and_only_then(
    queue: Queue, plays: Mapping[str, str], reason: str
) -> None:
    ends = queue(plays)

    status = "dev_done" if reason == "succeeded" else "pending"
    assert wrong(ends, dict.fromkeys(plays, (reason, status))) == {}


CHECKED = {
    "green": ("cli.work()", "test -f work.txt", "succeeded"),
    "red": ("cli.work()", "test -f missing.txt", "checks_failed"),
    "a command that is missing": ("cli.work()", "no-such-check", "checks_failed"),
    "one that kills itself": ("cli.work()", "kill -9 $$", "checks_failed"),
    "one that hangs": ("cli.work()", "sleep 60", "checks_failed"),
    "one that waits for input": ("cli.work()", "read line || exit 7", "checks_failed"),
    "one that makes a file where the agent made none": ("pass", "echo made > made.txt", "no_work_done"),
}


@pytest.mark.parametrize(("play", "check", "reason"), [pytest.param(*row, id=name) for name, row in CHECKED.items()])
def test_work_is_done_when_its_checks_are_green(agent: Agent, play: str, check: str, reason: str) -> None:
    end = agent(play, HEADLESS_PM_CHECKS=check, HEADLESS_PM_CHECK_TIMEOUT="1")

    assert end.reason == reason, end.said
    assert end.status == ("dev_done" if reason == "succeeded" else "pending")


@pytest.mark.parametrize(
    "change", ["cli.write('.agent-runner.yaml', 'checks: [\"true\"]\\n')", "os.remove('.agent-runner.yaml')"]
)
def test_an_agent_cannot_change_the_checks_that_it_is_judged_by(runner: MakeRunner, pm: PmServer, change: str) -> None:
    task = pm.api.task("A task", complexity="major")
    one = with_files(runner(), **{".agent-runner.yaml": "checks: ['false']\n"})
    FakeClaude(one, played({task["id"]: f"cli.work()\n{change}\ncli.commit()"}))

    end = see_through(one, task, HEADLESS_PM_MAX_ATTEMPTS="1")

    assert (end.reason, end.status) == ("checks_failed", "pending"), end.said


def test_what_a_check_found_is_mended_in_the_next_attempt(agent: Agent) -> None:
    end = agent("cli.work(f'{cli.attempt}.txt')", attempts=2, HEADLESS_PM_CHECKS="test -f 2.txt")

    assert (end.reasons, end.status) == (("checks_failed", "succeeded"), "dev_done"), end.said


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "not committed"])
def test_the_work_of_an_attempt_that_was_killed_counts_for_the_next_that_finds_it_done(
    agent: Agent, commit: bool
) -> None:
    end = agent(f"if cli.attempt == 1:\n    cli.work(commit={commit})\n    cli.die()", attempts=2)

    assert (end.reasons, end.status) == (("killed", "succeeded"), "dev_done"), end.said


@pytest.mark.parametrize("complexity", ["minor", "major"])
def test_what_a_claim_left_uncommitted_is_the_task_s_own_work_in_the_next_claim(
    runner: MakeRunner, pm: PmServer, complexity: str
) -> None:
    """Regression: in the main checkout it counted as somebody else's, and a new worktree began without it."""
    task = pm.api.task("A task", complexity=complexity)
    one = with_files(runner())
    play = "if cli.life == 1:\n    cli.work(commit=False); cli.die()\ncli.commit()"
    claude = FakeClaude(one, played({task["id"]: play}))
    see_through(one, task, HEADLESS_PM_MAX_ATTEMPTS="1")
    pm.api.status(task["id"], "pm_1", "created")

    end = see_through(one, task, HEADLESS_PM_MAX_ATTEMPTS="1")

    assert (end.reason, end.status) == ("succeeded", "dev_done"), end.said
    assert end.receipts[-1]["evidence"]["diff"]["files"] == 1
    if complexity == "major":
        prompt = claude.ledger()[-1]["prompt"]
        assert "is in the working directory again" in prompt
        assert "+work of life 1" in prompt
    assert "left-" not in git(one.repository, "for-each-ref", "refs/agent-runner")


def test_what_was_left_uncommitted_and_conflicts_now_is_handed_over_as_a_patch(
    runner: MakeRunner, pm: PmServer
) -> None:
    task = pm.api.task("A task", complexity="major")
    one = with_files(runner())
    play = "if cli.life == 1:\n    cli.write('notes.txt', 'mine'); cli.die()"
    claude = FakeClaude(one, played({task["id"]: play}))
    see_through(one, task, HEADLESS_PM_MAX_ATTEMPTS="1")
    (one.repository / "notes.txt").write_text("theirs")
    git(one.repository, "commit", "-qam", "Theirs")
    pm.api.status(task["id"], "pm_1", "created")

    end = see_through(one, task, HEADLESS_PM_MAX_ATTEMPTS="1")

    assert end.reason == "no_work_done"
    prompt = claude.ledger()[-1]["prompt"]
    assert "conflicts with the commit that this branch begins at" in prompt
    assert "+mine" in prompt


def test_an_agent_that_did_nothing_is_told_so_and_asked_again(agent: Agent) -> None:
    end = agent("if 'without any change' in cli.prompt:\n    cli.work()", attempts=2)

    assert (end.reasons, end.status) == (("no_work_done", "succeeded"), "dev_done"), end.said


@pytest.mark.parametrize(
    ("play", "evidence", "reason"),
    [
        ("cli.work(commit=False)", "commit", "no_work_done"),
        ("cli.work()", "commit", "succeeded"),
        ("pass", "none", "succeeded"),
        ("pass", "change", "no_work_done"),
    ],
)
def test_the_operator_says_what_shows_that_work_was_done(agent: Agent, play: str, evidence: str, reason: str) -> None:
    assert agent(play, HEADLESS_PM_EVIDENCE=evidence).reason == reason


def test_a_worktree_that_was_deleted_is_told_of_in_the_comment_and_to_the_next_attempt(agent: Agent) -> None:
    """Regression: it was made again without a word."""
    play = "import shutil\nif cli.attempt == 1:\n    cli.work(commit=False); shutil.rmtree(os.getcwd()); cli.die()"

    end = agent(f"{play}\nassert 'deleted its worktree' in cli.prompt\nshutil.rmtree(os.getcwd())", attempts=2)

    assert "deleted its worktree" in end.notes


def test_tools_that_were_denied_are_named_where_nothing_was_done(agent: Agent) -> None:
    end = agent(NOTHING["tools that were all denied"])

    assert "Write" in end.notes


MINOR = {
    "a commit": ("cli.work()", "", "succeeded"),
    "a change that is not committed": ("cli.work(commit=False)", "", "succeeded"),
    "nothing": ("pass", "", "no_work_done"),
    "nothing, where somebody left a change": ("pass", "notes.txt", "no_work_done"),
    "nothing, where somebody left a new file": ("pass", "left.txt", "no_work_done"),
    "a change of another file than somebody left": ("cli.work(commit=False)", "notes.txt", "succeeded"),
    "more in the file that somebody left changed": ("cli.work('notes.txt', commit=False)", "notes.txt", "succeeded"),
    "another branch checked out": (f"{OTHER}cli.work()", "", "work_unfinished"),
    "a merge in progress": (CONFLICT + MERGE, "", "work_unfinished"),
}


@pytest.mark.parametrize(("play", "left", "reason"), [pytest.param(*row, id=name) for name, row in MINOR.items()])
def test_in_the_main_checkout_only_the_agent_s_own_work_counts(
    agent: Agent, tmp_path: Path, play: str, left: str, reason: str
) -> None:
    end = agent(play, complexity="minor", left=left)

    assert end.reason == reason, end.said
    assert end.status == ("dev_done" if reason == "succeeded" else "pending")
    assert not left or (tmp_path / "repository" / left).read_text().startswith("somebody's\n")


NEVER_ACTED = {
    "a person's edit": "put('notes.txt')",
    "a person's new file": "put('new.txt')",
    "a person's commit under the agent's name": (
        "put('mine.txt')\nperson('add', 'mine.txt', name='')\nperson('commit', '-qm', 'Mine', name='')"
    ),
}
PICKED = {
    "a commit under a name of its own": (
        "cli.work('called.txt', commit=False)\ncli.git('add', '-A')\n"
        "cli.git('-c', 'user.name=Bot', 'commit', '-qm', 'Mine')"
    ),
    "a commit by an agent that tells of no tool": (
        "put('untold.txt')\nperson('add', 'untold.txt', name='', traced=True)\n"
        "person('commit', '-qm', 'Untold', name='', traced=True)"
    ),
    "another's commit, picked": "theirs()\ncli.git('cherry-pick', cli.branch('theirs'))",
    "another's patch, applied": (
        "theirs()\npatch = cli.git('format-patch', '-1', cli.branch('theirs'), '--stdout')\n"
        "subprocess.run(['git', 'am'], input=patch + '\\n', text=True, check=True, capture_output=True)"
    ),
    "a commit in another's name": (
        "cli.work('named.txt', commit=False)\ncli.commit('--author', 'Claude <noreply@example.invalid>')"
    ),
}


@pytest.mark.timeout(QUEUE_SECONDS)
def test_in_the_main_checkout_nothing_is_the_work_of_an_agent_that_used_no_tool(queue: Queue) -> None:
    """Regression: what a person did beside it made its task done, and the runner committed the person's files."""
    ends = queue({name: PERSON + play for name, play in NEVER_ACTED.items()}, complexity="minor")

    assert wrong(ends, dict.fromkeys(NEVER_ACTED, ("no_work_done", "pending"))) == {}
    assert [name for name, end in ends.items() if "used no tool" not in end.notes] == []
    assert [name for name, end in ends.items() if "published" in end.receipts[-1]] == []


@pytest.mark.timeout(QUEUE_SECONDS)
def test_in_the_main_checkout_who_committed_counts_and_not_the_author(queue: Queue) -> None:
    """Regression: picked commits, and such with an author of their own, were taken for another's."""
    ends = queue({name: PERSON + play for name, play in PICKED.items()}, complexity="minor")

    assert wrong(ends, dict.fromkeys(PICKED, ("succeeded", "dev_done"))) == {}


IN_PLACE_QA = {
    "a person's work is left": ("put('notes.txt')\nput('hers.txt')", ""),
    "a person's work is wiped out": (
        "cli.git('checkout', '--', '.')\ncli.git('clean', '-fdq')",
        "what was not committed in the main checkout before is gone: hers.txt, notes.txt; bring it back with",
    ),
    "no branch is left checked out": ("cli.git('checkout', '-q', '--detach')", "is on no branch now"),
    "a file elsewhere is written": (
        "cli.used(cli.use('Write', file_path='/elsewhere/a.txt'))",
        "wrote outside of its workspace: /elsewhere/a.txt; look at them",
    ),
    "tools are denied": (f"cli.end('QA: PASSED', permission_denials=[{DENIED}])\nreturn", "denied to the agent: Write"),
}


@pytest.mark.timeout(QUEUE_SECONDS)
def test_what_qa_does_to_the_main_checkout_is_told_and_no_work_is_done_on_no_branch(
    queue: Queue, runner: MakeRunner, pm: PmServer
) -> None:
    """Regression: a person's work was destroyed without a word, and the next task committed on no branch, as done."""
    plays = {name: f"{PERSON}{play}\ncli.end('QA: PASSED')\nreturn" for name, (play, _) in IN_PLACE_QA.items()}
    ends = queue(plays, role="qa", complexity="minor")
    one = runner(agent_id="backend_dev_2")
    task = pm.api.task("A task", complexity="minor")
    FakeClaude(one, played({task["id"]: "cli.work()"}))

    end = see_through(one, task)

    assert wrong(ends, dict.fromkeys(plays, ("succeeded", "qa_done"))) == {}
    assert {name: end.notes for name, end in ends.items() if IN_PLACE_QA[name][1] not in end.notes} == {}
    wiped = ends["a person's work is wiped out"]
    name = wiped.notes.partition("workspaces restore ")[2].partition("`")[0]
    assert "a person has written this" in git(one.repository, "show", f"refs/agent-runner/{name}:notes.txt")
    assert (end.reason, end.status) == ("workspace_failed", "created")
    assert "git switch" in end.notes


def test_a_branch_that_a_task_asks_to_have_merged_is_its_work(runner: MakeRunner, pm: PmServer) -> None:
    """Regression: commits of others never counted, and so a task to merge them could not be done."""
    one = with_files(runner())
    git(one.repository, "checkout", "-qb", "feature/fix")
    (one.repository / "fix.txt").write_text("The fix\n")
    git(one.repository, "add", "-A")
    git(one.repository, "commit", "-qm", "Fix it")
    git(one.repository, "checkout", "-q", "main")
    asked = pm.api.task("Merge the branch feature/fix", complexity="major")
    other = pm.api.task("Mend what feature/fix mends", complexity="major")
    merge = "cli.git('merge', '--no-edit', 'feature/fix')"
    FakeClaude(one, played({asked["id"]: merge, other["id"]: merge}))

    ends = [see_through(one, task, HEADLESS_PM_MAX_ATTEMPTS="1") for task in (asked, other)]

    assert [end.reason for end in ends] == ["succeeded", "no_work_done"]


WHY = "the suite fails"
QA = {
    "passed, on the last line": ("I ran the suite.\nQA: PASSED", "succeeded"),
    "passed, in lower case": ("I ran the suite.\n\nqa: passed", "succeeded"),
    "passed, in bold": ("I ran the suite.\n\n**QA: PASSED**", "succeeded"),
    "passed, with a full stop": ("QA: PASSED.\n", "succeeded"),
    "both, one after the other": ("QA: REJECTED - flaky\n\nAgain, all green.\nQA: PASSED", "no_verdict"),
    "rejected, with a reason": (f"QA: REJECTED - {WHY}", "rejected"),
    "rejected, in lower case": (f"qa: rejected - {WHY}", "rejected"),
    "rejected, by another word": (f"QA: FAILED - {WHY}", "rejected"),
    "rejected, in bold": (f"**QA: REJECTED** - {WHY}", "rejected"),
    "rejected, in a code fence": (f"```\nQA: REJECTED - {WHY}\n```", "rejected"),
    "rejected, after it had passed": (f"QA: PASSED\n\nBut then I ran it again.\nQA: REJECTED - {WHY}", "rejected"),
    "passed, in JSON": ('{"verdict": "passed", "why": "all green"}', "succeeded"),
    "rejected, in JSON": (f'```json\n{{"verdict": "rejected", "why": "{WHY}"}}\n```', "rejected"),
    "rejected, with more lines of reasons": (f"QA: REJECTED - {WHY}\n\n1. test_sum\n2. test_product", "rejected"),
    "both, as the choice that it has": (f"I must say one of\nQA: PASSED\nQA: REJECTED - <why>\n{WHY}", "no_verdict"),
    "no verdict": ("I ran the suite. It is all green.", "no_verdict"),
    "no words": ("", "no_verdict"),
    "quoted in a sentence": ("I would say QA: PASSED if the suite ran.", "no_verdict"),
    "quoted at the beginning of a sentence": ("QA: PASSED is what I cannot say: nothing ran.", "no_verdict"),
    "announced": ("As the last line I shall write:\nQA: PASSED\nbut first I wait for the tests.", "no_verdict"),
    "a question": ("QA: PASSED?", "no_verdict"),
    "passed, in a code fence": ("I ran the suite.\n```\nQA: PASSED\n```\n", "no_verdict"),
}


QA_FORMS = {
    "passed, after a sign": ("I ran the suite.\n\u2705 QA: PASSED", "succeeded"),
    "passed, with a reason": ("QA: PASSED - all 14 tests are green, no failures", "succeeded"),
    "passed, and taken back": ("QA: PASSED - but the build is broken", "no_verdict"),
    "passed, under a condition": ("QA: PASSED (if CI is green)", "no_verdict"),
    "passed, in part": ("QA: PASSED - 3 of 14 tests were not run", "no_verdict"),
    "rejected, after a sign": (f"\u274c QA: REJECTED - {WHY}", "rejected"),
    "rejected, in a list": (f"1. QA: REJECTED - {WHY}", "rejected"),
    "another's rejection, quoted": (
        f"QA said:\n> QA: REJECTED - {WHY}\nThat is mended. I ran out of time.",
        "no_verdict",
    ),
    "both, in JSON": ('{"verdict": "rejected", "verdict": "passed"}', "no_verdict"),
    "negated": ("QA: NOT PASSED", "no_verdict"),
}
"""More forms, as a queue of their own: a task that is given back is taken again after a while."""

QA_STATUS = {"succeeded": "qa_done", "rejected": "created"}


@pytest.mark.timeout(QUEUE_SECONDS)
@pytest.mark.parametrize("said", [QA, QA_FORMS], ids=["usual", "other forms"])
def test_qa_is_judged_by_its_verdict_alone(queue: Queue, said: Mapping[str, tuple[str, str]]) -> None:
    plays = {name: f"cli.end({words!r})\nreturn" for name, (words, _) in said.items()}

    ends = queue(plays, role="qa", complexity="minor")

    wanted = {name: (reason, QA_STATUS.get(reason, "dev_done")) for name, (_, reason) in said.items()}
    assert wrong(ends, wanted) == {}
    assert [name for name, end in ends.items() if end.reason == "rejected" and WHY not in end.notes] == []


BROKEN_QA = {
    "nothing said": ("return 0", "agent_failed"),
    "a verdict that is no result": ("cli.talk('QA: PASSED')\nreturn 0", "agent_failed"),
    "a verdict, and an error": ("cli.end('QA: PASSED', is_error=True)\nreturn 1", "agent_failed"),
    "a verdict, and another turn that is cut off": ("cli.end('QA: PASSED')\ncli.begin()\ncli.die()", "killed"),
    "a verdict, and another result without one": (
        "cli.end('QA: PASSED')\ncli.begin()\ncli.end('One thing more: a background task has failed.')\nreturn",
        "no_verdict",
    ),
    "a verdict, and then the other": (
        "cli.end('QA: PASSED')\ncli.begin()\ncli.end('QA: REJECTED - it fails now')\nreturn",
        "rejected",
    ),
}


@pytest.mark.timeout(QUEUE_SECONDS)
def test_qa_that_does_not_end_well_passes_nothing(queue: Queue) -> None:
    ends = queue({name: play for name, (play, _) in BROKEN_QA.items()}, role="qa", complexity="minor")

    wanted = {name: (reason, QA_STATUS.get(reason, "dev_done")) for name, (_, reason) in BROKEN_QA.items()}
    assert wrong(ends, wanted) == {}


def test_qa_without_a_verdict_is_asked_for_one(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("A task", status="dev_done")
    one = runner(agent_id="qa_1")
    asked = "'had no verdict' in cli.prompt and cli.resumed"
    FakeClaude(one, played({task["id"]: f"cli.end('QA: PASSED' if {asked} else 'All is fine.')\nreturn"}))

    end = see_through(one, task, role="qa", HEADLESS_PM_MAX_ATTEMPTS="2")

    assert (end.reasons, end.status) == (("no_verdict", "succeeded"), "qa_done"), end.said


def test_a_task_that_the_day_s_budget_ended_waits_for_the_next_day(runner: MakeRunner, pm: PmServer) -> None:
    """Regression: it was parked, with the advice to raise other budgets."""
    task = pm.api.task("A task", complexity="major")
    one = with_files(runner())
    spent = "cli.work()\ncli.end('', is_error=True, subtype='error_max_budget_usd', cost=0.98)\nreturn 1"
    claude = FakeClaude(one, played({task["id"]: spent}))

    one.start(HEADLESS_PM_DAILY_BUDGET_USD="1", HEADLESS_PM_MAX_ATTEMPTS="1")
    until(lambda: one.said("goes on tomorrow") and one.said("00:00:00 UTC"), "the wait for the next day", 40)

    assert one.said("$0.98 of $1.00 are spent today (daily_budget_usd)")
    assert pm.api.look(task["id"])["status"] == "under_work"
    assert len(claude.ledger()) == 1
    held = one.journal()
    assert held is not None
    assert (held.attempt, held.tries) == (2, 1)


@pytest.mark.timeout(QUEUE_SECONDS)
@pytest.mark.parametrize("role", ["architect", "pm"])
def test_who_decides_and_plans_need_not_change_a_file(queue: Queue, role: str) -> None:
    ends = queue({"nothing": "pass", "a commit": "cli.work()", "no result": "return 0"}, role=role)

    done = ("succeeded", "dev_done")
    assert wrong(ends, {"nothing": done, "a commit": done, "no result": ("agent_failed", "pending")}) == {}


def test_the_server_is_told_what_was_done(agent: Agent) -> None:
    """The comment of a task that is done names its commits and the size of the change."""
    end = agent("cli.work()")

    assert "1 commit" in end.notes, end.notes
    assert "1 file" in end.notes
