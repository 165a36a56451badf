"""Names: which texts may become a branch or a path, and what is taken instead."""

from __future__ import annotations

import subprocess
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import branch_names
from components.errors import UnsafeName

HOSTILE_BRANCHES = (
    *("--upload-pack=x", "-x", "../../x", "a..b", "x.lock", "a.lock/b", "@{-1}", "a//b", "a/", "/a", "a.", "a/.b", ""),
    *(
        "ok;touch",
        "a$(id)b",
        "`id`",
        "a b",
        "a\n",
        "a\nb",
        "\x1b[31m",
        "é",
        "HEAD",
        "refs/heads/x",
        "x" * 10_000,
        "0" * 40,
    ),
)
HOSTILE_IDS = ("", "../../x", "a/b", "/etc", "a b", "a\n", "a\0", "é", ".", "a.b", "x" * 65, "--x;", "$(id)")


@pytest.mark.parametrize("text", HOSTILE_BRANCHES, ids=lambda text: repr(text[:12]))
def test_a_hostile_branch_text_is_not_safe(text: str) -> None:
    assert not branch_names.is_safe(text)


@pytest.mark.parametrize("text", ["main", "feature/task-1", "v1.2", "a-b_c/d.e", "x" * 201, "users/ann/fix-1"])
def test_an_ordinary_branch_text_is_safe(text: str) -> None:
    assert branch_names.is_safe(text)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="aZ0._/-@lock", min_size=1, max_size=12))
def test_git_accepts_every_name_that_we_call_safe(text: str) -> None:
    if branch_names.is_safe(text):
        assert (
            subprocess.run(["git", "check-ref-format", "--branch", text], check=False, capture_output=True).returncode
            == 0
        )


@pytest.mark.parametrize("text", HOSTILE_IDS, ids=lambda text: repr(text[:12]))
def test_an_id_that_may_not_reach_a_path_is_refused_by_name(text: str) -> None:
    with pytest.raises(UnsafeName, match="task id"):
        branch_names.check_identifier("task id", text)


@pytest.mark.parametrize("text", ["1", "task_9-Z", "x" * 64])
def test_an_ordinary_id_is_accepted(text: str) -> None:
    branch_names.check_identifier("task id", text)


def test_the_names_after_the_first_carry_the_claim() -> None:
    names = list(islice(branch_names.candidates("fix", "7", "abcdefgh-more"), 4))

    assert names == ["fix", "fix-abcdefgh", "fix-abcdefgh-2", "fix-abcdefgh-3"]


def test_every_list_of_names_ends_with_one_that_needs_no_folder() -> None:
    names = list(branch_names.candidates("feature/task-7", "7", "abcdefgh"))

    assert "task-7" in names
    assert len(names) == len(set(names))
    assert all(branch_names.is_safe(name) for name in names)


@pytest.mark.parametrize(
    ("name", "existing", "taken"),
    [
        ("fix", {"fix"}, True),
        ("feature/a", {"feature"}, True),
        ("feature", {"feature/a"}, True),
        ("feature/b", {"feature/a"}, False),
        ("fix", {"fix-2", "fixture/a"}, False),
    ],
)
def test_a_branch_may_not_be_a_folder_of_another(name: str, existing: set[str], taken: bool) -> None:
    assert branch_names.is_taken(name, existing) is taken


def test_a_worktree_name_is_recognised_as_ours() -> None:
    names = [
        branch_names.worktree_name("x" * 64, "abcdefgh-more", attempt, number) for attempt, number in ((1, 1), (12, 9))
    ]

    assert all(branch_names.is_worktree_name(name) for name in names)
    assert names[1].endswith("-abcdefgh-a12-9")
    assert not branch_names.is_worktree_name("task-3")
    assert not branch_names.is_worktree_name("task-3-abcdefgh-a1/../x")


def test_the_worktree_of_an_agent_is_named_by_its_id_and_its_time() -> None:
    task = "agent-0123abcd-20261121T180624"
    names = [branch_names.worktree_name(task, "abcdefgh-more", attempt, number) for attempt, number in ((1, 1), (2, 3))]

    assert names == [task, f"{task}-a2-3"]
    assert all(branch_names.is_worktree_name(name) for name in names)
    assert branch_names.worktree_prefix(task, "abcdefgh-more") == task
    assert not branch_names.is_worktree_name("agent-smith")
