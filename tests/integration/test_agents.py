"""Agents that build upon each other, from the command line: real runners, real git, and the real Claude CLI."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from components import durable, joining, store_url, typed_task, workflow_driver
from components.agent_store import AgentStore
from components.config import load
from components.demo.script import parse_scripts
from components.demo.scripted_model import ScriptedModel
from components.errors import GitFailed, MergeConflict
from components.git_worktree import GitWorktree
from components.model import Task
from components.ports import QueueEntry
from components.states import Complexity, Reason
from components.store import Store
from tests.runner import git, make_repository
from tests.scripted_model import claude_env
from tests.typed import Terminal
from tests.waiting import until

pytestmark = pytest.mark.timeout(180)

AGENT = """
import os, re, subprocess, sys, time
here = sys.argv[1]
prompt = sys.stdin.read()
open(f"{here}/prompts", "a").write(prompt + chr(12))
note = lambda word: open(f"{here}/ledger", "a").write(f"{word} {os.environ['AGENT_RUNNER_TASK_ID']}\\n")
note("start")
words = re.search(r"<<<\\w+ Description\\n(.*?)\\n\\w+>>>", prompt, re.S)[1].split()
if "slowly" in words:
    while not os.path.exists(f"{here}/gate"):
        time.sleep(0.02)
if "fail" in words and not os.path.exists(f"{here}/mended"):
    sys.exit(1)
name = words[words.index("write") + 1] if "write" in words else ""
if "stumble" in words and os.path.exists(name):
    print("It is there already")
elif name:
    open(name, "w").write(" ".join(words) + "\\n")
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "commit", "-qm", f"Write {name}"], check=True)
    print(f"I wrote {name} beside", *sorted(set(os.listdir(".")) - {".git", "README", name}))
    if "stumble" in words:
        sys.exit(1)
if "list" in words:
    print('["x.txt", "y.txt"]')
note("end")
"""


class Desk(Terminal):
    """A person's shell, with agents that do what their task says: `write NAME`, `slowly`, `fail`, `list`.

    One that is to `stumble` fails once it has committed, and does nothing where it finds its file.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        (directory / "writer.py").write_text(AGENT)
        self.env["AGENT_COMMAND"] = " ".join([sys.executable, str(directory / "writer.py"), str(directory)])

    def file(self, nodes: str, head: str = "name: test") -> str:
        """Write a workflow, and return where."""
        path = self.directory / "workflow.yaml"
        path.write_text(f"{head}\nnodes:\n{textwrap.indent(textwrap.dedent(nodes).strip(), '  ')}\n")
        return str(path)

    def begin(self, nodes: str) -> str:
        """Run a workflow in the background, and return its id."""
        return str(self.told("workflow", "run", self.file(nodes), "-b")["id"])

    def agents(self, word: str) -> dict[str, dict[str, Any]]:
        """Return the nodes of a workflow by their names."""
        return {one["node"]: one for one in self.told("workflow", "show", word)["agents"]}

    def over(self, word: str, status: str = "completed") -> dict[str, dict[str, Any]]:
        """Wait for the end of a workflow, and return its nodes."""
        store = Store(load({}, self.env).config.store)
        with_agents = AgentStore(store)
        until(lambda: str(with_agents.workflow(word).status) not in ("pending", "active"), "the end", 120)
        assert str(with_agents.workflow(word).status) == status, self.say("workflow", "show", word)
        store.close()
        return self.agents(word)

    def lines(self, name: str = "ledger") -> list[str]:
        """Return what the agents wrote down."""
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []

    def rest(self) -> None:
        """Wait until the driver has ended, since there is nothing to do."""
        until(lambda: not workflow_driver.is_alive(self.home), "the driver's end", 30)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    (tmp_path / "gate").touch()
    kill_driver(made.home)
    made.close()


def kill_driver(home: Path) -> int:
    """SIGKILL the driver of a home, and return how many there were."""
    lock = str(home / "driver" / "alive")
    killed = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                links = {os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")}
            except OSError:
                continue
            if lock in links:
                os.kill(int(entry), signal.SIGKILL)
                killed += 1
    until(lambda: not durable.is_held(lock), "the driver's death")
    return killed


DIAMOND = """
- {id: a, task: write a.txt}
- {id: b, task: write b.txt, needs: [a]}
- {id: c, task: write c.txt, needs: [a]}
- {id: d, task: write d.txt, needs: [b, c]}
"""


def test_a_child_begins_at_its_parents_merged_work_and_is_told_what_they_said(desk: Desk) -> None:
    ran = desk.run("workflow", "run", desk.file(DIAMOND))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    word = ran.stdout.split()[1]
    agents = desk.agents(word)
    assert agents["d"]["result"] == "I wrote d.txt beside a.txt b.txt c.txt"
    assert git(desk.repository, "ls-tree", "--name-only", agents["d"]["branch"]).split() == [
        *("README", "a.txt", "b.txt", "c.txt", "d.txt")
    ]
    prompt = next(text for text in (desk.directory / "prompts").read_text().split("\f") if "\nwrite d.txt\n" in text)
    assert "Output of b (backend_dev), 'write b.txt'\nI wrote b.txt beside a.txt\n" in prompt
    assert "Output of c (backend_dev), 'write c.txt'\nI wrote c.txt beside a.txt\n" in prompt
    names = [Path(one["workspace"]).name.split("-") for one in agents.values()]
    assert [name[:2] for name in names] == [["agent", one["id"][:8]] for one in agents.values()]
    assert all(len(name) == 3 for name in names)
    assert "a  " in ran.stdout
    assert "4 completed" in ran.stdout
    assert git(desk.repository, "status", "--porcelain") == ""


def test_works_that_conflict_are_a_verdict_of_its_own(desk: Desk) -> None:
    ran = desk.run(
        "workflow",
        "run",
        desk.file("""
            - {id: a, task: write same.txt one}
            - {id: b, task: write same.txt two}
            - {id: c, task: write c.txt, needs: [a, b]}
        """),
    )

    assert ran.returncode == 1
    agent = desk.agents(ran.stdout.split()[1])["c"]
    assert (agent["status"], agent["reason"]) == ("failed", "merge_conflict")
    assert "a and b conflict in same.txt. Have one of them depend on the other" in agent["error"]


def test_a_killed_driver_leaves_its_agents_at_work_and_the_next_one_goes_on_with_them(desk: Desk) -> None:
    word = desk.begin("""
        - {id: a, task: write a.txt}
        - {id: b, task: slowly write b.txt, needs: [a]}
        - {id: c, task: write c.txt, needs: [b]}
    """)
    until(lambda: len(desk.lines()) == 3, "the second agent at work", 40)

    assert kill_driver(desk.home) == 1
    assert desk.run("workflow", "resume", word, "-b").returncode == 0
    (desk.directory / "gate").touch()

    agents = desk.over(word)
    assert len([line for line in desk.lines() if line.startswith("start")]) == 3
    assert {one["attempt"] for one in agents.values()} == {1}


def test_a_cancelled_workflow_stops_the_agent_that_is_at_work(desk: Desk) -> None:
    word = desk.begin("- {id: a, task: slowly write a.txt}\n- {id: b, task: write b.txt, needs: [a]}")
    until(desk.lines, "the agent at work", 40)

    assert "1 agent at work asked to end" in desk.say("workflow", "cancel", word)

    until(lambda: desk.agents(word)["a"]["status"] == "cancelled", "the agent's end", 40)
    assert desk.over(word, "cancelled")["b"]["status"] == "cancelled"
    assert not any(line.startswith("end") for line in desk.lines())


def test_what_was_cancelled_and_still_ends_is_awaited_before_it_is_done_again(desk: Desk) -> None:
    """Regression: an agent that was still ending was left out, ended, and took its workflow with it."""
    word = desk.begin("- {id: a, task: slowly write a.txt}\n- {id: b, task: write b.txt, needs: [a]}")
    until(desk.lines, "the agent at work", 40)
    desk.say("workflow", "cancel", word)
    (desk.directory / "gate").touch()

    again = desk.run("workflow", "retry", word, "--failed")

    assert (again.returncode, "2 agents to be done again" in again.stdout) == (0, True), again.stdout + again.stderr
    assert [one["attempt"] for one in desk.over(word).values()] == [2, 2]


@pytest.mark.parametrize("what", ["workflow", "agent"])
def test_a_cancelling_reaches_the_agent_whose_worker_has_died(desk: Desk, what: str) -> None:
    """Regression: the queue gave the entry to nobody, so the agent worked on and its workflow could not be retried."""
    word = desk.begin("- {id: a, task: slowly write a.txt}")
    until(desk.lines, "the agent at work", 40)

    assert kill_driver(desk.home) == 1
    desk.say(what, "cancel", word if what == "workflow" else desk.agents(word)["a"]["id"])

    until(lambda: desk.agents(word)["a"]["status"] == "cancelled", "the agent's end", 40)
    assert not any(line.startswith("end") for line in desk.lines())
    desk.rest()


@pytest.mark.parametrize("killed", [("driver",), ("driver", "runner"), ("driver", "runner", "shim")])
def test_an_attempt_that_another_worker_took_over_is_ended_where_it_was_at_work(
    desk: Desk, killed: tuple[str, ...]
) -> None:
    """Regression: it worked on beside the next one, whether its runner lived, its shim, or nobody but the agent."""
    word = desk.begin("- {id: a, task: slowly write a.txt}")
    until(desk.lines, "the agent at work", 40)
    one = desk.agents(word)["a"]
    at_work = desk.told("status")["executions"][0]["pids"]
    assert kill_driver(desk.home) == 1
    for who in killed[1:]:
        os.kill(at_work[who], signal.SIGKILL)
    with contextlib.closing(Store(load({}, desk.env).config.store)) as store:
        assert AgentStore(store).begin(QueueEntry(one["id"], 2), "elsewhere") is not None

    if "runner" in killed:
        assert workflow_driver.start(desk.home, desk.env) > 0

    until(lambda: not psutil.pid_exists(at_work["agent"]) or is_zombie(at_work["agent"]), "the agent's end", 60)
    claim = one["execution_id"]
    until(lambda: typed_task.verdict_of(desk.home, claim), "the end of the record", 30)
    assert typed_task.verdict_of(desk.home, claim).reason is Reason.CANCELLED  # type: ignore[union-attr]
    assert desk.told("status")["executions"] == []


def is_zombie(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


def test_a_driver_whose_store_is_away_says_so_once_and_waits(desk: Desk) -> None:
    """Regression: it ended, where `worker` waits."""
    desk.env["HEADLESS_PM_STORE"] = "postgresql://runner@127.0.0.1:1/runs"
    desk.env["HEADLESS_PM_QUEUE"] = store_url.of_file(desk.directory / "queue.db")
    log = desk.home / "driver" / "log"
    assert workflow_driver.start(desk.home, desk.env) > 0

    until(lambda: log.exists() and "waiting for it" in log.read_text(), "the wait", 30)
    with pytest.raises(AssertionError, match="the driver's end"):
        until(lambda: not workflow_driver.is_alive(desk.home), "the driver's end", 2.5)

    assert log.read_text().count("127.0.0.1:1/runs does not answer") == 1


def test_what_failed_is_done_again_and_the_rest_follows(desk: Desk) -> None:
    desk.env["HEADLESS_PM_MAX_ATTEMPTS"] = "1"
    ran = desk.run(
        "workflow", "run", desk.file("- {id: a, task: write a.txt}\n- {id: b, task: fail write b.txt, needs: [a]}")
    )
    word = ran.stdout.split()[1]
    assert (ran.returncode, desk.agents(word)["b"]["reason"]) == (1, "agent_failed")
    (desk.directory / "mended").touch()

    again = desk.run("workflow", "retry", word, "--failed")

    assert again.returncode == 0, again.stdout + again.stderr
    agents = desk.agents(word)
    assert agents["b"]["result"] == "I wrote b.txt beside a.txt"
    assert [one["attempt"] for one in agents.values()] == [1, 2]


def test_what_a_failed_attempt_committed_is_the_nodes_work_and_reaches_its_children(desk: Desk) -> None:
    """Regression: it counted as given to the next attempt, so children began without it, and nothing said so."""
    desk.env |= {"HEADLESS_PM_MAX_ATTEMPTS": "1", "HEADLESS_PM_EVIDENCE": "commit"}
    far = desk.directory / "far.git"
    git(desk.repository, "clone", "-q", "--bare", ".", str(far))
    git(desk.repository, "remote", "add", "origin", str(far))
    nodes = """
        - {id: a, task: stumble write a.txt, role: backend_dev}
        - {id: each, task: "stumble write {item}", over: [x.txt, y.txt]}
        - {id: b, task: write b.txt, needs: [a, each]}
    """
    word = desk.run("workflow", "run", desk.file(nodes)).stdout.split()[1]
    failed = desk.agents(word)
    assert {failed[name]["status"] for name in ("a", "each[0]", "each[1]")} == {"failed"}

    again = desk.run("workflow", "retry", word, "--failed")

    agents = desk.agents(word)
    assert again.returncode == 0, again.stdout + again.stderr
    assert agents["b"]["result"] == "I wrote b.txt beside a.txt x.txt y.txt"
    commit, _, branch = agents["a"]["commits"].partition("@")
    assert (commit, agents["a"]["branch"]) == (failed["a"]["commits"].partition("@")[0], branch)
    assert git(desk.repository, "rev-parse", branch) == git(far, "rev-parse", branch) == commit
    typed = json.loads((desk.home / "tasks" / agents["a"]["execution_id"] / "task.json").read_text())
    assert typed["given"] == git(desk.repository, "rev-parse", "main")
    told = next(one for one in (desk.directory / "prompts").read_text().split("\f")[3:] if "Write a.txt" in one)
    assert "this branch begins with their commits" in told


def test_a_person_approves_and_a_map_fans_out(desk: Desk) -> None:
    ran = desk.run(
        "workflow",
        "run",
        desk.file("""
            - {id: names, task: list them, limits: {evidence: none}}
            - {id: gate, kind: approval, task: Are these right?, needs: [names]}
            - {id: each, task: "write {item}", needs: [names, gate], over: {output_of: names}}
            - {id: last, task: write last.txt, needs: [each]}
        """),
    )
    word = ran.stdout.split()[1]
    assert ran.returncode == 3
    assert f"workflow approve {word} gate" in ran.stdout

    desk.say("workflow", "approve", word, "gate", "-m", "Go on")

    agents = desk.over(word)
    assert agents["last"]["result"] == "I wrote last.txt beside x.txt y.txt"
    assert [node for node in agents if node.startswith("each")] == ["each", "each[0]", "each[1]"]
    assert "classDef completed" in desk.say("workflow", "show", word, "--mermaid")
    assert (
        "Output of gate (a person's approval), 'Are these right?'\nGo on\n" in (desk.directory / "prompts").read_text()
    )


def test_a_spawned_child_waits_for_its_parent(desk: Desk) -> None:
    parent = desk.told("agent", "spawn", "write spec.md", "--role", "architect")

    keyed = ("agent", "spawn", "write it", "--key", "k", "--no-worker")
    assert desk.told(*keyed, "--parent", parent["id"])["id"] == desk.told(*keyed)["id"]
    child = desk.told("agent", "spawn", "write code.py", "--parent", parent["id"], "--role", "backend_dev", "--wait")

    assert (child["status"], child["result"]) == ("completed", "I wrote code.py beside spec.md")
    shown = desk.told("agent", "show", child["id"][:8])
    assert shown["parents"] == [parent["id"]]
    assert parent["id"][:8] in desk.say("agent", "list")
    desk.rest()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["workflow", "run", "none.yaml"], 4, "there is no such file"),
        (["workflow", "show", "feed"], 4, "there is no workflow 'feed'"),
        (["agent", "show", "feed"], 4, "there is no agent 'feed'"),
        (["agent", "spawn", " "], 2, "the task is empty"),
        (["agent", "spawn", "x", "--limit", "max_turn=3"], 2, "did you mean max_turns?"),
        (
            ["agent", "spawn", "x", "--limit", "max_turns=many"],
            2,
            "--limit max_turns=many: not a number; write a whole",
        ),
        (
            ["agent", "spawn", "x", "--limit", "max_turns=0"],
            2,
            "--limit max_turns=0: out of range; write a whole number",
        ),
        (["agent", "spawn", "x", "--project", "nowhere/at/all"], 4, "nowhere/at/all"),
    ],
)
def test_a_mistake_in_a_call_is_told(desk: Desk, words: list[str], code: int, said: str) -> None:
    ran = desk.run(*words)

    assert (ran.returncode, said in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_file_is_checked_without_running_it(desk: Desk) -> None:
    good = desk.say("workflow", "check", desk.file(DIAMOND))
    bad = desk.run("workflow", "check", desk.file("- {id: a, task: x, needs: [a]}"))

    assert good.splitlines() == ["test: 4 nodes in 3 steps, at most 2 at once", "    1  a", "    2  b, c", "    3  d"]
    assert bad.returncode == 2
    assert "cycle: a -> a" in bad.stderr
    assert json.loads(desk.say("workflow", "schema"))["title"] == "A workflow of agents"
    assert not (desk.home / "store.db").exists()


def test_joining_fetches_what_another_machine_has_pushed(tmp_path: Path) -> None:
    far = make_repository(tmp_path / "far")
    git(tmp_path, "clone", "-q", str(far), "near")
    git(far, "checkout", "-qb", "agent/a")
    (far / "a.txt").write_text("a\n")
    git(far, "add", "-A")
    git(far, "commit", "-qm", "Write a")
    commit = git(far, "rev-parse", "HEAD")
    near = tmp_path / "near"
    config = load({"home": str(tmp_path / "home"), "repository": str(near)}, {}).config
    task = Task("agent-0123abcd-20261121T120000", "x", created_at="now")

    assert joining.begin_at(config, near, task, [f"{commit}@agent/a"]) == commit
    assert joining.begin_at(config, near, task, ["gone@gone"]) == commit
    with pytest.raises(GitFailed, match="needs a remote to push to"):
        joining.begin_at(config, near, Task("other", "x"), [f"{'0' * 40}@"])


@pytest.mark.parametrize("has_remote", [True, False])
def test_joining_begins_at_a_branch_that_only_the_remote_has_and_tells_of_one_that_is_nowhere(
    tmp_path: Path, has_remote: bool
) -> None:
    """Regression: the branch was fetched and not found, and one that is nowhere was called a commit."""
    far = make_repository(tmp_path / "far")
    near = tmp_path / "near"
    git(tmp_path, "clone", "-q", str(far), "near")
    git(far, "branch", "late")
    if not has_remote:
        git(near, "remote", "remove", "origin")
    config = load({"home": str(tmp_path / "home"), "repository": str(near)}, {}).config

    where = "neither in .* nor at its remote 'origin'" if has_remote else "not in .*, which has no remote 'origin'"
    with pytest.raises(GitFailed, match=f"^branch 'nowhere' is {where}. Correct the name, or make the branch."):
        joining.begin_at(config, near, Task("a", "x"), ["nowhere@nowhere"])
    if has_remote:
        assert joining.begin_at(config, near, Task("b", "x"), ["late@late"]) == git(far, "rev-parse", "HEAD")


def test_an_attempt_begins_at_what_earlier_ones_left_and_is_measured_from_what_the_first_was_given(
    tmp_path: Path,
) -> None:
    repository = make_repository(tmp_path / "repository")
    config = load({"home": str(tmp_path / "home"), "repository": str(repository)}, {}).config
    given = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-qb", "agent/a")
    git(repository, "commit", "-qm", "Mine", "--allow-empty")
    left = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "main")
    git(repository, "commit", "-qm", "Meanwhile", "--allow-empty")
    begun: dict[str, tuple[str, str]] = {}

    for name, starts, known, words in (
        ("root", [], given, [f"{left}@agent/a"]),
        ("killed", [], given, ["agent/a@agent/a"]),
        ("child", [f"{given}@main"], "", [f"{left}@agent/a"]),
        ("unknown", [], "", [f"{left}@agent/a"]),
        ("elsewhere", [f"{given}@main"], "0" * 40, ["agent/gone@agent/gone", f"{'0' * 40}@agent/gone"]),
        ("nothing", [], "", ["agent/gone@agent/gone"]),
    ):
        task = Task(name, "x", created_at="now", complexity=Complexity.MAJOR)
        start = joining.begin_at(config, repository, task, starts, given=known, left=words)
        opened = GitWorktree(repository).open(task, "0" * 32, 1)
        begun[name] = (start, opened.base_commit)
        assert git(opened.path, "rev-parse", "HEAD") == (start or git(repository, "rev-parse", "HEAD"))

    assert begun == {
        **dict.fromkeys(("root", "killed", "child", "unknown"), (left, given)),
        "elsewhere": (given, given),
        "nothing": ("", git(repository, "rev-parse", "HEAD")),
    }


def test_joining_names_who_made_what_conflicts_in_which_files(tmp_path: Path) -> None:
    """Regression: it named commits, which nobody knows."""
    repository = make_repository(tmp_path / "repository")
    commits = []
    for name in ("a", "b"):
        git(repository, "checkout", "-qb", name, "main")
        (repository / "README").write_text(f"{name}\n")
        git(repository, "commit", "-qam", name)
        commits.append(f"{git(repository, 'rev-parse', 'HEAD')}@{name}")
    config = load({"home": str(tmp_path / "home"), "repository": str(repository)}, {}).config

    names = {commits[0].partition("@")[0]: "plan"}

    with pytest.raises(MergeConflict, match=r"plan and b conflict in README\. Have"):
        joining.begin_at(config, repository, Task("x", "x"), commits, names=names)


# The real Claude CLI, with the model's answers scripted


@contextmanager
def claude(tmp_path: Path, *scripts: dict[str, Any]) -> Iterator[Terminal]:
    """A person's shell whose agents are the real Claude CLI; the script is chosen by the task's words."""
    with ScriptedModel(parse_scripts(list(scripts))) as model:
        terminal = Terminal(tmp_path)
        env = claude_env(model.url, tmp_path / "claude-home")
        for name in ("AGENT_COMMAND", "HEADLESS_PM_EVIDENCE"):
            terminal.env.pop(name)
        kept = {name: value for name, value in env.items() if name not in ("PATH", "HOME", "TMPDIR")}
        terminal.env |= {**kept, "PATH": env["PATH"], "HEADLESS_PM_SANDBOX": "1"}
        terminal.env["HEADLESS_PM_CLAUDE_PATH"] = str(Path(env["PATH"].partition(":")[0]) / "claude")
        terminal.env["HEADLESS_PM_ENVIRONMENT"] = ",".join(name for name in kept if name.startswith("CLAUDE_CODE"))
        try:
            yield terminal
        finally:
            kill_driver(terminal.home)
            terminal.close()


def script(when: str, *turns: object) -> dict[str, Any]:
    return {"name": when, "when": f"Description\\n{when}", "turns": list(turns)}


def written(name: str, content: str) -> list[object]:
    commit = f"git add -A && git commit -qm 'Write {name}'"
    return [{"Write": {"file_path": f"{{cwd}}/{name}", "content": content}}, {"Bash": commit}]


def test_one_agent_writes_a_file(tmp_path: Path) -> None:
    with claude(
        tmp_path, script("Write hello.txt", *written("hello.txt", "Hello\n"), "hello.txt is there.")
    ) as terminal:
        one = terminal.told("agent", "spawn", "Write hello.txt", "--wait")

        assert (one["status"], one["result"]) == ("completed", "hello.txt is there."), one["error"]
        assert git(terminal.repository, "show", f"{one['branch']}:hello.txt") == "Hello"
        assert one["output_tokens"] > 0
        assert one["seconds"] > 0
        assert one["cost_usd"] > 0


def test_a_parent_writes_a_specification_and_its_child_implements_it(tmp_path: Path) -> None:
    with claude(
        tmp_path,
        script("Write spec.md", *written("spec.md", "add(a, b) returns the sum\n"), "The specification is in spec.md."),
        script(
            "Implement",
            {"Bash": "cat spec.md"},
            *written("calculator.py", "def add(a, b): return a + b\n"),
            "Implemented.",
        ),
    ) as terminal:
        parent = terminal.told("agent", "spawn", "Write spec.md", "--role", "architect")
        child = terminal.told("agent", "spawn", "Implement spec.md", "--parent", parent["id"], "--wait")

        assert child["status"] == "completed", child["error"]
        assert git(terminal.repository, "ls-tree", "--name-only", child["branch"]).split() == [
            *("README", "calculator.py", "spec.md")
        ]
        run = next((terminal.home / "runs").glob(f"agent-{child['id'][:8]}-*"))
        assert "add(a, b) returns the sum" in (run / "out").read_text()
        assert "The specification is in spec.md." in (run / "prompt").read_text()


def test_design_implementation_and_test_are_a_workflow(tmp_path: Path) -> None:
    test = "from calculator import add\\nassert add(2, 3) == 5\\n"
    with claude(
        tmp_path,
        script("Design", *written("design.md", "A module calculator with add\n"), "Designed."),
        script(
            "Implement", {"Bash": "cat design.md"}, *written("calculator.py", "def add(a, b): return a + b\n"), "Built."
        ),
        script(
            "Test",
            *written("test_calculator.py", test.replace("\\n", "\n")),
            {"Bash": "python3 test_calculator.py"},
            "QA: PASSED",
        ),
    ) as terminal:
        file = tmp_path / "calculator.yaml"
        file.write_text(
            "name: calculator\nnodes:\n"
            "  - {id: design, role: architect, task: Design a calculator}\n"
            "  - {id: implement, task: Implement the design, needs: [design]}\n"
            "  - {id: test, role: qa, task: Test the calculator, needs: [implement]}\n"
        )
        ran = terminal.run("workflow", "run", str(file))

        assert ran.returncode == 0, ran.stdout + ran.stderr
        shown = terminal.told("workflow", "show", ran.stdout.split()[1])
        assert [one["status"] for one in shown["agents"]] == ["completed"] * 3
        last = shown["agents"][-1]["branch"]
        assert git(terminal.repository, "ls-tree", "--name-only", last).split() == [
            *("README", "calculator.py", "design.md", "test_calculator.py")
        ]
        assert shown["cost_usd"] == pytest.approx(sum(one["cost_usd"] for one in shown["agents"]))
