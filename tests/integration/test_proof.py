"""Evidence before done: agents that did the work, and agents that only say so, each judged by the real command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.pm_server import PmServer
from tests.runner import Runner, ended, git

MakeRunner = Callable[..., Runner]

COMMIT = "git add -A && git commit -qm 'Do the work'"
CONFLICT = "printf '<<<<<<< HEAD\\nours\\n=======\\ntheirs\\n>>>>>>> other\\n'"
TRUE = {
    "a commit": f"echo work > work.txt && {COMMIT}",
    "a changed file that is not committed": "echo more >> README",
    "a new file that is not committed": "mkdir -p deep/er && echo work > deep/er/work.txt",
    "a new file without content": "touch __init__.py",
    "a deletion": "git rm -q README && git commit -qm Remove",
    "a changed mode": "chmod +x README && git commit -qam 'Let it run'",
    "a changed indentation where it has a meaning": "sed -i 's/^    c/c/' code.py && git commit -qam Dedent",
    "a merge of the trunk and work of its own": (f"git merge -q --no-edit newer && echo work > work.txt && {COMMIT}"),
    "a changed indentation": "sed -i 's/The/  The/' README && git commit -qam Indent",
    "a blank within a line": "sed -i 's/The text/Thetext/' README && git commit -qam 'Join it'",
    "other ends of lines": "sed -i 's/$/\\r/' README && git commit -qam 'End it otherwise'",
    "an underlined heading": f"printf 'Title\\n=======\\ntext\\n' > doc.rst && {COMMIT}",
}
FALSE = {
    "nothing": ("true", "no_work_done"),
    "an empty commit": ("git commit -q --allow-empty -m 'Do the work'", "no_work_done"),
    "a commit that is reverted": (
        f"echo work > work.txt && {COMMIT} && git revert --no-edit HEAD >/dev/null",
        "no_work_done",
    ),
    "a commit that is thrown away": (f"echo work > work.txt && {COMMIT} && git reset -q --hard HEAD~", "no_work_done"),
    "a stash": ("echo work > README && git stash -q", "no_work_done"),
    "blanks at the ends of lines": ("sed -i 's/$/  /' README && git commit -qam Format", "no_work_done"),
    "an empty line": ("echo >> README", "no_work_done"),
    "an ignored file": ("mkdir ignored && echo work > ignored/work.txt", "no_work_done"),
    "what tools leave behind": ("mkdir __pycache__ && echo x > __pycache__/a.pyc", "no_work_done"),
    "a merge that stopped": ("git merge -q other >/dev/null 2>&1 || true", "work_unfinished"),
    "a merge that is committed with its markers": (
        "git merge -q other >/dev/null 2>&1 || git add -A && git commit -qm Merge",
        "work_unfinished",
    ),
    "conflict markers without a merge": (f"{CONFLICT} > work.txt && {COMMIT}", "work_unfinished"),
    "a rebase that stopped": (
        f"echo mine > README && {COMMIT} && git rebase other >/dev/null 2>&1 || true",
        "work_unfinished",
    ),
    "work on another branch": (f"git checkout -q -b elsewhere && echo work > work.txt && {COMMIT}", "work_unfinished"),
    "work on no branch": (f"git checkout -q --detach && echo work > work.txt && {COMMIT}", "work_unfinished"),
    "a rewritten beginning": ("echo work > README && git commit -qa --amend -m Begin", "work_unfinished"),
    "a history of its own": (
        "branch=$(git branch --show-current) && git checkout -q --orphan new && echo x > README && git commit -qam New"
        ' && git branch -qf "$branch" && git checkout -q "$branch"',
        "work_unfinished",
    ),
}


def cells(cases: Iterable[str]) -> list[tuple[str, str]]:
    """Return the cases with kinds of tasks: the first with both, and the others in turn."""
    first, *others = cases
    return [(first, "major"), (first, "minor"), *zip(others, cycle(("major", "minor")), strict=False)]


def prepared(one: Runner, script: str, *, evidence: str = "change", attempts: int = 1, **env: str) -> Runner:
    """Give a runner's agent a script, and its repository some history."""
    file = one.directory / "agent.sh"
    file.write_text(f"set -e\ncat > /dev/null\n{script}\necho 'All done, everything works.'\n")
    one.env |= {
        "AGENT_COMMAND": f"sh {file}",
        "HEADLESS_PM_EVIDENCE": evidence,
        "HEADLESS_PM_MAX_ATTEMPTS": str(attempts),
        **env,
    }
    repository = one.repository
    (repository / ".gitignore").write_text("ignored/\n")
    (repository / "code.py").write_text("if a:\n    b()\n    c()\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "Prepare")
    git(repository, "checkout", "-q", "-b", "other", "HEAD~")
    (repository / "README").write_text("Another text\n")
    git(repository, "commit", "-qam", "Write it otherwise")
    git(repository, "checkout", "-q", "main")
    (repository / "README").write_text("The text\n")
    git(repository, "commit", "-qam", "Write it")
    return one


def newer(one: Runner) -> None:
    """Make a branch `newer` that main is at too, one commit further than where the agent's worktree begins."""
    git(one.repository, "branch", "newer")


def strange(one: Runner) -> None:
    """Let a colleague push to a remote's main, and have a branch and a tag here with commits of today."""
    remote, theirs = one.directory / "remote.git", one.directory / "theirs"
    git(one.directory, "clone", "-q", "--bare", str(one.repository), str(remote))
    git(one.repository, "remote", "add", "origin", str(remote))
    git(one.repository, "fetch", "-q", "origin")
    git(one.directory, "clone", "-q", "-b", "main", str(remote), str(theirs))
    (theirs / "theirs.txt").write_text("A colleague's\n")
    git(theirs, "add", "-A")
    git(theirs, "commit", "-qm", "A colleague's work")
    git(theirs, "push", "-q", "origin", "main")
    git(one.repository, "fetch", "-q", str(theirs), "main:strange")
    tree = git(one.repository, "rev-parse", "strange^{tree}")
    git(one.repository, "tag", "marked", git(one.repository, "commit-tree", tree, "-p", "main", "-m", "Marked"))


def receipt(one: Runner) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((one.runs()[-1].path / "result.json").read_text())
    return data


@pytest.mark.parametrize(("name", "complexity"), cells(TRUE))
def test_work_that_was_done_counts(runner: MakeRunner, pm: PmServer, name: str, complexity: str) -> None:
    one = prepared(runner(), TRUE[name])
    newer(one)
    task = pm.api.task("Do it", complexity=complexity)

    told = one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done", notes + told.stdout
    assert "Work: " in notes


@pytest.mark.parametrize(("name", "complexity"), cells(FALSE))
def test_the_agent_s_word_is_not_enough(runner: MakeRunner, pm: PmServer, name: str, complexity: str) -> None:
    script, reason = FALSE[name]
    one = prepared(runner(), script)
    task = pm.api.task("Do it", complexity=complexity)

    told = one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "pending", told.stdout
    assert reason in notes
    assert "fatal:" not in notes
    assert receipt(one)["verdict"]["reason"] == reason


def test_commits_of_others_that_were_merged_are_no_work(runner: MakeRunner, pm: PmServer) -> None:
    """The trunk moves on while the agent works, and all that it does is to take that in."""
    others = "(cd ../.. && echo x > x && git add x && git commit -qm Other)"
    script = f"{others}; git merge -q --no-edit main"
    one = prepared(runner(), script)
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert ended(pm, task)[0] == "pending"
    assert "no_work_done" in ended(pm, task)[1]


@pytest.mark.parametrize("complexity", ["major", "minor"])
@pytest.mark.parametrize("merged", ["strange", "marked", "origin/main"])
def test_commits_of_a_branch_a_tag_or_a_remote_that_were_merged_are_no_work(
    runner: MakeRunner, pm: PmServer, merged: str, complexity: str
) -> None:
    """Regression: only the local trunk was known to be of others, so a merge of anything else was done and pushed."""
    one = prepared(runner(), f"git fetch -q && git merge -q --no-edit {merged}")
    strange(one)
    task = pm.api.task("Do it", complexity=complexity)

    one.run("--single-task")

    assert "no_work_done" in ended(pm, task)[1]


@pytest.mark.parametrize("complexity", ["major", "minor"])
def test_work_upon_what_was_merged_and_pushed_counts(runner: MakeRunner, pm: PmServer, complexity: str) -> None:
    push = "git push -q origin HEAD:refs/heads/helping"
    one = prepared(runner(), f"git merge -q --no-edit strange && echo work > work.txt && {COMMIT} && {push}")
    strange(one)
    task = pm.api.task("Do it", complexity=complexity)

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done", notes
    assert [commit["subject"] for commit in receipt(one)["evidence"]["commits"]] == ["Do the work"]
    assert receipt(one)["evidence"]["diff"]["files"] == 1


def test_a_commit_that_somebody_else_made_meanwhile_in_the_main_checkout_is_no_work(
    runner: MakeRunner, pm: PmServer
) -> None:
    """Regression: whatever was committed while the agent worked was taken for its own."""
    theirs = "git -c user.name=Human -c user.email=human@example.invalid commit -qm Theirs"
    one = prepared(runner(), f"echo theirs > theirs.txt && git add -A && {theirs}")
    task = pm.api.task("Do it")

    one.run("--single-task")

    notes = ended(pm, task)[1]
    assert "no_work_done" in notes
    assert "commits by Human <human@example.invalid>" in notes


def test_a_name_that_git_is_given_while_the_agent_works_is_its_own(runner: MakeRunner, pm: PmServer) -> None:
    naming = "git config user.name Claude && git config user.email claude@example.invalid"
    one = prepared(runner(), f"{naming} && echo work > work.txt && {COMMIT}")
    task = pm.api.task("Do it")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"


@pytest.mark.parametrize(("more", "status"), [("", "pending"), ("echo work > work.txt", "dev_done")])
def test_what_lay_in_the_main_checkout_before_is_no_work_when_the_agent_commits_it(
    runner: MakeRunner, pm: PmServer, more: str, status: str
) -> None:
    """Regression: a person's edits that were not committed counted once the agent had committed them."""
    one = prepared(runner(), f"{more or 'true'}\n{COMMIT}")
    (one.repository / "README").write_text("Somebody's change\n")
    (one.repository / "human [1].txt").write_text("Somebody's notes\n")
    task = pm.api.task("Do it")

    one.run("--single-task")

    now, notes = ended(pm, task)
    assert now == status, notes
    assert "was committed with it, as it was: README, human [1].txt" in notes


def test_old_commits_that_were_pulled_into_the_main_checkout_are_no_work(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "git merge -q --ff-only later")
    git(one.repository, "checkout", "-q", "-b", "later")
    (one.repository / "x").write_text("x\n")
    git(one.repository, "add", "x")
    subprocess.run(
        ["git", "commit", "-qm", "Long ago"],
        cwd=one.repository,
        check=True,
        env={**one.env, "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"},
    )
    git(one.repository, "checkout", "-q", "main")
    task = pm.api.task("Do it")

    one.run("--single-task")

    assert "no_work_done" in ended(pm, task)[1]


def test_what_lay_in_the_main_checkout_before_is_neither_work_nor_committed(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "true")
    (one.repository / "README").write_text("Somebody's change\n")
    (one.repository / "notes").write_text("Somebody's notes\n")
    task = pm.api.task("Do it")

    one.run("--single-task")

    assert "no_work_done" in ended(pm, task)[1]
    assert git(one.repository, "status", "--porcelain") == "M README\n?? notes"


def test_in_a_checkout_that_was_not_clean_the_agent_s_files_count_and_are_left_as_they_are(
    runner: MakeRunner, pm: PmServer
) -> None:
    one = prepared(runner(), "echo work > work.txt")
    (one.repository / "notes").write_text("Somebody's notes\n")
    task = pm.api.task("Do it")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done"
    assert receipt(one)["evidence"]["leftovers"] == ["work.txt"]
    assert "was not clean" in notes
    assert git(one.repository, "status", "--porcelain") == "?? notes\n?? work.txt"


def test_a_worktree_that_the_agent_deleted_is_judged_by_its_branch(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), f'echo work > work.txt && {COMMIT} && here=$(pwd) && cd / && rm -rf "$here"')
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert receipt(one)["evidence"]["commits"][0]["subject"] == "Do the work"


def test_a_worktree_that_was_deleted_with_all_its_work_shows_none(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), 'echo work > work.txt && here=$(pwd) && cd / && rm -rf "$here"')
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert "no_work_done" in ended(pm, task)[1]


def test_a_repository_in_place_of_the_worktree_is_no_proof(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), f"rm .git && git init -q && echo work > work.txt && {COMMIT}")
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert "work_unfinished" in ended(pm, task)[1]


def test_work_outside_of_the_worktree_is_told_of(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), f"echo work > work.txt && {COMMIT}; echo astray > ../../astray.txt")
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done"
    assert "outside of the worktree" in notes
    assert "astray.txt" in notes


def test_git_settings_and_hooks_that_the_agent_changed_are_told_of(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), f"echo work > work.txt && {COMMIT} && git config core.hooksPath /tmp/hooks")
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert "git's configuration or hooks" in ended(pm, task)[1]


def test_settings_that_git_makes_by_itself_are_not(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), f"echo work > work.txt && {COMMIT} && git branch -q --set-upstream-to=main")
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert "Note:" not in ended(pm, task)[1]


def test_where_a_commit_is_asked_for_a_changed_file_is_not_enough(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "echo work > work.txt", evidence="commit")
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert "nothing is committed" in ended(pm, task)[1]


def test_without_a_demand_the_word_is_enough(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "true", evidence="none")
    task = pm.api.task("Do it")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"


def test_an_architect_is_not_asked_for_a_change(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(agent_id="arch_1"), "true", evidence="auto")
    task = pm.api.task("Think", target_role="architect")

    one.run("--single-task", role="architect")

    assert ended(pm, task)[0] == "dev_done"


def test_qa_is_judged_by_its_words(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(agent_id="qa_1"), "echo 'QA: PASSED'", evidence="commit")
    task = pm.api.task("Look", status="dev_done")

    one.run("--single-task", role="qa")

    assert ended(pm, task)[0] == "qa_done"


def test_work_of_all_attempts_of_a_claim_counts(runner: MakeRunner, pm: PmServer) -> None:
    script = f'if [ "$AGENT_RUNNER_ATTEMPT" = 1 ]; then date +%N >> work.txt && {COMMIT}; exit 1; fi'
    one = prepared(runner(), script, attempts=2)
    for complexity in ("minor", "major"):
        task = pm.api.task("Do it", complexity=complexity)

        one.run("--single-task")

        assert ended(pm, task)[0] == "dev_done"


@pytest.mark.parametrize("complexity", ["major", "minor"])
def test_a_claim_that_goes_on_with_unfinished_work_has_that_to_show(
    runner: MakeRunner, pm: PmServer, complexity: str
) -> None:
    """Regression: the work of a claim that was given back stood before the next one's beginning, and counted never."""
    one = prepared(runner(), f"echo work > work.txt && {COMMIT} && exit 1")
    task = pm.api.task("Do it", complexity=complexity)
    one.run("--single-task")
    pm.api.status(task["id"], "pm_1", "created")
    (one.directory / "agent.sh").write_text("cat > /dev/null; echo 'It is done already'\n")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert "begun-" not in git(one.repository, "for-each-ref")
    assert not list((one.repository / ".git").glob("agent-runner-unproven/*"))


def test_unfinished_work_that_somebody_has_taken_back_is_nothing_to_show(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), f"echo work > work.txt && {COMMIT} && exit 1")
    task = pm.api.task("Do it")
    one.run("--single-task")
    git(one.repository, "reset", "-q", "--hard", "HEAD~")
    pm.api.status(task["id"], "pm_1", "created")
    (one.directory / "agent.sh").write_text("cat > /dev/null; echo 'It is done already'\n")

    one.run("--single-task")

    assert "no_work_done" in ended(pm, task)[1]


def test_the_receipt_says_what_was_done_and_how_that_is_known(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), f"echo work > work.txt && {COMMIT} && echo more > more.txt")
    pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    told = receipt(one)
    found = told["evidence"]
    assert told["version"] == 1
    assert found["commits"][0]["subject"] == "Do the work"
    assert found["leftovers"] == ["more.txt"]
    assert found["diff"] == {"files": 2, "insertions": 2, "deletions": 0}
    words = ["git", "diff", "--no-renames", "--full-index", found["base"], found["tree"]]
    patch = subprocess.run(words, cwd=one.repository, check=True, capture_output=True).stdout
    digest = subprocess.run(["sha256sum"], input=patch, check=True, capture_output=True).stdout.decode()
    assert digest.startswith(found["sha256"])
    assert git(one.repository, "rev-parse", f"{told['published']['wip']}^{{tree}}") == found["tree"]


def test_secrets_and_escapes_in_what_an_agent_commits_do_not_reach_the_comment(
    runner: MakeRunner, pm: PmServer, tmp_path: Path
) -> None:
    secret = "ghp_" + "a1B2" * 9
    one = prepared(
        runner(), f"echo work > work.txt && git add -A && printf 'Use {secret} \\033]0;x\\007' | git commit -qF -"
    )
    task = pm.api.task("Do it")

    one.run("--single-task")

    notes = ended(pm, task)[1]
    assert "Work: 1 commit" in notes
    assert secret not in notes
    assert "\x1b" not in notes


def test_a_secret_in_a_file_s_name_is_told_nobody(runner: MakeRunner, pm: PmServer) -> None:
    secret = "pmkey-supersecret-123456"
    one = prepared(runner(), f"echo x > {secret}.txt", evidence="commit", ANTHROPIC_API_KEY=secret)
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    notes = ended(pm, task)[1]
    assert "changed are [secret].txt" in notes
    assert secret not in notes + json.dumps(receipt(one))


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", "pending"), ("true", "dev_done"), ("echo x > work.txt; exit 0", "dev_done")],
)
def test_a_program_that_speaks_by_its_exit_code_has_to_show_a_sign_of_work(
    runner: MakeRunner, pm: PmServer, script: str, status: str
) -> None:
    task = pm.api.task("A program's")
    one = prepared(runner(), script, evidence="auto")

    ran = one.run("--single-task")

    assert pm.api.look(task["id"])["status"] == status, ran.stdout + ran.stderr
