"""Snapshots of unsaved work on real repositories: taken unnoticed, brought back whole, through git killed anywhere."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components import shelf, snapshot, unsaved_files
from components.errors import GitFailed, NotFound, UnsafeName
from components.git_worktree import GitWorktree
from components.model import Task, Workspace
from components.states import Complexity
from tests.waiting import until

CLAIM = "11aa22bb00004000800000000000000a"
MAJOR = Task("1", "A major task", complexity=Complexity.MAJOR)
ROOT = Path(__file__).parents[2]
GIT = shutil.which("git") or "git"
BINARY = bytes(range(256)) * 300
Files = dict[bytes, tuple[str, bytes]]


def sh(directory: Path, *words: str) -> str:
    """Run git as a person or an agent would, and return what it printed."""
    return subprocess.run([GIT, *words], cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


def commit(directory: Path, name: str, text: str = "done\n") -> str:
    (directory / name).write_text(text)
    sh(directory, "add", "--", name)
    sh(directory, "commit", "-q", "-m", f"Add {name}")
    return sh(directory, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "repository"
    top.mkdir()
    sh(top, "init", "-q", "-b", "main")
    (top / ".gitignore").write_text("*.log\n__pycache__/\nnode_modules/\n.env\nbuild/\n")
    (top / "deep").mkdir()
    for name in ("a.txt", "deep/b.txt", "c.txt", "gone.txt", "becomes_a_directory", "run.sh"):
        (top / name).write_text(f"{name}\n")
    sh(top, "add", ".")
    sh(top, "commit", "-q", "-m", "First")
    return top


@pytest.fixture
def workspace(repository: Path) -> Workspace:
    return GitWorktree(repository).open(MAJOR, CLAIM, 1)


def take(workspace: Workspace, why: str = "a test", **options: bool) -> str | None:
    return snapshot.take(workspace, "1", CLAIM, why=why, attempt=1, **options)


def taken(workspace: Workspace, **options: bool) -> str:
    ref = take(workspace, **options)
    assert ref is not None
    return ref


def brought_back(repository: Path, name: str = "1", *, commit: bool = False) -> Path:
    return shelf.restore(repository, shelf.find(repository, name), repository.parent / "back", commit=commit).path


def files_of(directory: Path) -> Files:
    """Return all files of a directory but git's own and junk: kind and content, links too."""
    found: Files = {}
    for top, directories, names in os.walk(os.fsencode(directory)):
        directories[:] = [name for name in directories if name not in (b".git", b"node_modules", b"__pycache__")]
        for name in names + [name for name in directories if os.path.islink(os.path.join(top, name))]:
            path = os.path.join(top, name)
            status = os.lstat(path)
            relative = os.path.relpath(path, os.fsencode(directory))
            if stat.S_ISLNK(status.st_mode):
                found[relative] = ("link", os.readlink(path))
            elif name != b".git":
                with open(path, "rb") as file:
                    found[relative] = ("program" if status.st_mode & stat.S_IXUSR else "file", file.read())
    return found


def agents_own(workspace: Workspace) -> dict[str, bytes]:
    """Return all that is the agent's in the repository, bit for bit: index, HEAD, branches, stash, configuration."""
    entry = Path(sh(workspace.path, "rev-parse", "--absolute-git-dir"))
    own = {str(path): path.read_bytes() for path in entry.rglob("*") if path.is_file() and entry.name != ".git"}
    own["index"] = (entry / "index").read_bytes()
    own["refs"] = sh(workspace.path, "for-each-ref", "refs/heads", "refs/tags", "refs/stash").encode()
    own["stash"] = sh(workspace.path, "stash", "list").encode()
    own["config"] = (workspace.repository / ".git" / "config").read_bytes()
    own["worktrees"] = sh(workspace.repository, "worktree", "list").encode()
    return own


def spoil(path: Path) -> None:
    """Make every kind of change at once."""
    (path / "a.txt").write_bytes(BINARY)
    (path / "deep" / "b.txt").write_text("staged\n")
    sh(path, "add", "deep/b.txt")
    (path / "deep" / "b.txt").write_text("changed after it was staged\n")
    (path / "gone.txt").unlink()
    sh(path, "mv", "c.txt", "moved.txt")
    (path / "run.sh").chmod(0o755)
    (path / "becomes_a_directory").unlink()
    (path / "becomes_a_directory").mkdir()
    (path / "becomes_a_directory" / "inside").write_text("inside\n")
    (path / "untracked").mkdir()
    (path / "untracked" / "tool").write_text("#!/bin/sh\n")
    (path / "untracked" / "tool").chmod(0o755)
    (path / "untracked" / "empty").write_text("")
    (path / "untracked" / "notes.log").write_text("ignored inside of untracked\n")
    (path / ".env").write_text("TOKEN=1\n")
    (path / "build").mkdir()
    (path / "build" / "data").write_bytes(BINARY)
    (path / "to_nowhere").symlink_to("no/such/file")
    (path / "to_directory").symlink_to("deep")
    (path / "intended.txt").write_text("intent to add\n")
    sh(path, "add", "-N", "intended.txt")
    for name in (b"new\nline", b"tab\t\"quote'", b"latin-\xe9", b"-n", b"\xff\xfe", b"star*[a]", b" blank ", b"a\\b"):
        with open(os.path.join(os.fsencode(path), name), "wb") as file:
            file.write(name)
    (path / "node_modules").mkdir()
    (path / "node_modules" / "junk.js").write_text("")


# --- everything comes back -----------------------------------------------------------------------------------------


def test_every_kind_of_change_comes_back_byte_for_byte_after_rm_rf(repository: Path, workspace: Workspace) -> None:
    spoil(workspace.path)
    before = files_of(workspace.path)
    status = sh(workspace.path, "status", "--porcelain", "-uall", "deep", "moved.txt", "c.txt", "gone.txt", "run.sh")

    ref = taken(workspace)
    shutil.rmtree(workspace.path)
    back = brought_back(repository)

    assert ref == "refs/agent-runner/1/11aa22bb/1"
    assert files_of(back) == before
    assert sh(back, "rev-parse", "HEAD") == workspace.base_commit
    assert sh(back, "status", "--porcelain", "-uall", "deep", "moved.txt", "c.txt", "gone.txt", "run.sh") == status
    assert sh(back, "show", ":deep/b.txt") == "staged"
    assert not (back / "node_modules").exists()


def test_with_commit_the_changes_come_back_as_one_commit(repository: Path, workspace: Workspace) -> None:
    spoil(workspace.path)
    before = files_of(workspace.path)
    taken(workspace)

    back = brought_back(repository, commit=True)

    assert files_of(back) == before
    assert sh(back, "status", "--porcelain") == ""
    assert sh(back, "rev-parse", "HEAD^") == workspace.base_commit
    assert sh(back, "rev-list", "--count", "HEAD") == "2"


def test_the_agents_index_head_branch_and_stash_are_bit_identical(workspace: Workspace) -> None:
    (workspace.path / "a.txt").write_text("stashed")
    sh(workspace.path, "stash")
    spoil(workspace.path)
    before, files = agents_own(workspace), files_of(workspace.path)

    taken(workspace, thorough=True)

    assert agents_own(workspace) == before
    assert files_of(workspace.path) == files


def test_a_staged_file_that_is_gone_from_the_disk_is_kept_as_staged(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "only.txt").write_text("only in the index\n")
    sh(workspace.path, "add", "only.txt")
    (workspace.path / "only.txt").unlink()

    taken(workspace)
    assert take(workspace) is None

    assert sh(brought_back(repository), "show", ":only.txt") == "only in the index"


def test_a_directory_that_was_deleted_gives_what_was_staged(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "new.txt").write_text("staged\n")
    sh(workspace.path, "add", "new.txt")
    shutil.rmtree(workspace.path)

    taken(workspace)

    assert (brought_back(repository) / "new.txt").read_text() == "staged\n"


def test_commits_on_a_detached_head_are_kept(repository: Path, workspace: Workspace) -> None:
    sh(workspace.path, "checkout", "-q", "--detach")
    tip = commit(workspace.path, "lost.txt")

    ref = taken(workspace)

    assert sh(repository, "rev-parse", f"{ref}^") == tip
    assert take(workspace) is None
    assert (brought_back(repository) / "lost.txt").exists()


def test_a_merge_in_progress_is_saved_with_its_conflict_and_goes_on(repository: Path, workspace: Workspace) -> None:
    sh(workspace.path, "checkout", "-q", "-b", "side")
    commit(workspace.path, "a.txt", "theirs\n")
    sh(workspace.path, "checkout", "-q", workspace.branch)
    commit(workspace.path, "a.txt", "ours\n")
    with pytest.raises(subprocess.CalledProcessError):
        sh(workspace.path, "merge", "side")
    before = agents_own(workspace)

    taken(workspace)

    assert agents_own(workspace) == before
    assert "<<<<<<<" in (brought_back(repository) / "a.txt").read_text()
    assert "In progress: merge" in shelf.message(repository, shelf.find(repository, "1"))
    assert sh(workspace.path, "status", "--porcelain") == "UU a.txt"


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_hidden_from_git_status_is_saved_by_a_thorough_look(
    repository: Path, workspace: Workspace, flag: str
) -> None:
    sh(workspace.path, "update-index", flag, "a.txt")
    (workspace.path / "a.txt").write_text("hidden\n")
    assert take(workspace) is None

    taken(workspace, thorough=True)

    assert (brought_back(repository) / "a.txt").read_text() == "hidden\n"


def test_files_outside_of_a_sparse_checkout_do_not_count_as_deleted(workspace: Workspace) -> None:
    sh(workspace.path, "sparse-checkout", "set", "--no-cone", "/a.txt")
    assert not (workspace.path / "deep").exists()
    assert take(workspace, thorough=True) is None
    (workspace.path / "a.txt").write_text("changed\n")

    ref = taken(workspace, thorough=True)

    assert sh(workspace.path, "diff", "--name-status", f"{ref}^", ref) == "M\ta.txt"


def test_filters_of_the_repository_are_used_both_ways(repository: Path, workspace: Workspace) -> None:
    sh(repository, "config", "filter.case.clean", "tr a-z A-Z")
    sh(repository, "config", "filter.case.smudge", "tr A-Z a-z")
    commit(workspace.path, ".gitattributes", "*.low filter=case\n")
    (workspace.path / "new.low").write_text("lower\n")

    ref = taken(workspace)

    assert sh(repository, "cat-file", "blob", f"{ref}:new.low") == "LOWER"
    assert (brought_back(repository) / "new.low").read_text() == "lower\n"


def test_work_on_a_branch_that_was_deleted_starts_from_where_it_began(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "a.txt").write_text("changed\n")
    sh(repository, "update-ref", "-d", f"refs/heads/{workspace.branch}")

    ref = taken(workspace)

    assert sh(repository, "diff", "--name-only", f"{ref}^", ref) == "a.txt"
    assert sh(repository, "rev-parse", f"{ref}^") == workspace.base_commit


# --- repositories inside -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nested", "nested.log", "deep/nested"])
def test_a_repository_inside_gives_its_files_and_says_that_its_history_is_left_out(
    repository: Path, workspace: Workspace, name: str
) -> None:
    nested = workspace.path / name
    sh(workspace.path, "init", "-q", name)
    (nested / ".gitignore").write_text("node_modules\n")
    (nested / "node_modules").mkdir()
    (nested / "node_modules" / "junk.js").write_text("")
    tip = commit(nested, "committed.txt")
    (nested / "draft.txt").write_text("draft\n")
    before = files_of(workspace.path)

    taken(workspace)
    back = brought_back(repository)

    assert files_of(back) == before
    assert not (back / name / "node_modules").exists()
    assert f"{name}/.git: the history of a repository inside, at {tip}" in shelf.message(
        repository, shelf.find(repository, "1")
    )


def test_a_repository_inside_that_was_added_is_saved_with_its_files_too(repository: Path, workspace: Workspace) -> None:
    sh(workspace.path, "init", "-q", "nested")
    commit(workspace.path / "nested", "x.txt")
    sh(workspace.path, "add", "nested")

    taken(workspace)

    assert (brought_back(repository) / "nested" / "x.txt").exists()


def test_the_changed_files_of_a_submodule_are_saved(repository: Path, workspace: Workspace, tmp_path: Path) -> None:
    sh(tmp_path, "init", "-q", "library")
    commit(tmp_path / "library", "lib.txt")
    sh(workspace.path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "library"))
    sh(workspace.path, "commit", "-q", "-m", "Use the library")
    assert take(workspace) is None
    (workspace.path / "library" / "lib.txt").write_text("changed inside\n")

    taken(workspace)

    assert (brought_back(repository) / "library" / "lib.txt").read_text() == "changed inside\n"
    assert "library/.git" in shelf.message(repository, shelf.find(repository, "1"))


def test_the_main_checkout_is_saved_without_the_worktrees_in_it_and_without_what_is_ignored(
    repository: Path, workspace: Workspace
) -> None:
    main = GitWorktree(repository).open(replace(MAJOR, complexity=Complexity.MINOR), CLAIM, 1)
    (workspace.path / "draft.txt").write_text("of the worktree")
    sh(repository, "worktree", "add", "-q", "of_a_person")
    (repository / ".env").write_text("of a person")
    assert take(main) is None
    (repository / "new").mkdir()
    (repository / "new" / "x.txt").write_text("x")
    (repository / "new" / "x.log").write_text("ignored")
    before = agents_own(main)

    ref = taken(main)

    assert sh(repository, "diff", "--name-only", f"{ref}^", ref) == "new/x.txt"
    assert agents_own(main) == before


# --- what stands in the way ----------------------------------------------------------------------------------------


def test_a_locked_index_is_no_obstacle_and_stays_locked(workspace: Workspace) -> None:
    spoil(workspace.path)
    lock = workspace.repository / ".git" / "worktrees" / workspace.path.name / "index.lock"
    lock.write_text("of the agent's git")

    taken(workspace)

    assert lock.read_text() == "of the agent's git"


@pytest.mark.parametrize("content", [b"", b"DIRC\0\0\0\x02torn"])
def test_a_broken_index_makes_every_file_be_taken(repository: Path, workspace: Workspace, content: bytes) -> None:
    (workspace.path / "a.txt").write_text("changed\n")
    (workspace.path / "new.txt").write_text("new\n")
    (workspace.path / "gone.txt").unlink()
    index = workspace.repository / ".git" / "worktrees" / workspace.path.name / "index"
    index.write_bytes(content)

    ref = taken(workspace)

    changed = sh(repository, "diff", "--name-status", f"{ref}^", ref).splitlines()
    assert changed == ["M\ta.txt", "D\tgone.txt", "A\tnew.txt"]
    assert index.read_bytes() == content


def test_a_list_of_changes_beyond_a_megabyte_loses_none(repository: Path, workspace: Workspace) -> None:
    for number in range(4200):
        (workspace.path / "deep" / f"{number:0250}").write_text(f"{number}\n")
    (workspace.path / "gone.txt").unlink()

    ref = taken(workspace)

    assert shelf.find(repository, ref).files == 4201


def test_a_worktree_that_lost_its_git_file_is_saved(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "draft.txt").write_text("draft\n")
    (workspace.path / ".git").unlink()

    ref = taken(workspace)

    assert sh(repository, "diff", "--name-only", f"{ref}^", ref) == "draft.txt"


def test_a_worktree_replaced_by_a_link_is_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    workspace.path.rename(tmp_path / "precious")
    workspace.path.symlink_to(tmp_path / "precious")

    with pytest.raises(GitFailed, match="replaced by a link"):
        take(workspace)


def test_a_directory_replaced_by_a_link_to_elsewhere_is_not_followed(
    repository: Path, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.txt").write_text("a secret of somebody else")
    shutil.rmtree(workspace.path / "deep")
    (workspace.path / "deep").symlink_to(tmp_path / "elsewhere")
    before = files_of(workspace.path)

    ref = taken(workspace)

    assert "secret" not in sh(repository, "show", ref)
    assert shelf.find(repository, ref).left_out == 0
    assert files_of(brought_back(repository)) == before


def test_pipes_and_sockets_are_named_and_do_not_block(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "new").mkdir()
    (workspace.path / "new" / "file").write_text("file\n")
    os.mkfifo(workspace.path / "new" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(workspace.path / "new", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
        ref = taken(workspace)

    assert sh(repository, "diff", "--name-only", f"{ref}^", ref) == "new/file"
    assert shelf.find(repository, ref).left_out == 2


TAKE = """
import sys
from pathlib import Path
from components import snapshot
from components.model import Workspace
path, repository, base = sys.argv[1:]
print(snapshot.take(Workspace(Path(path), Path(repository), "", base, True), "1", "11aa22bb", why="powerless"))
"""
DROP = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search")


def _without_power_over_files() -> list[str]:
    """Return what makes the superuser obey the permissions of files; nothing for other users."""
    return [*DROP] if os.geteuid() == 0 else []


def _can_be_powerless() -> bool:
    words = [*_without_power_over_files(), "true"]
    return shutil.which(words[0]) is not None and subprocess.run(words, check=False).returncode == 0


@pytest.mark.skipif(not _can_be_powerless(), reason="setpriv is missing or may not drop rights: root reads everything")
def test_a_file_that_cannot_be_read_costs_only_itself(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "a.txt").write_text("changed\n")
    for name in ("secret", "deep/b.txt"):
        (workspace.path / name).write_text("changed\n")
        (workspace.path / name).chmod(0)
    (workspace.path / "closed").mkdir()
    (workspace.path / "closed").chmod(0)

    arguments = (str(workspace.path), str(repository), workspace.base_commit)
    argv = [*_without_power_over_files(), sys.executable, "-c", TAKE, *arguments]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    (workspace.path / "closed").chmod(0o700)
    assert ran.stdout == "refs/agent-runner/1/11aa22bb/1\n", ran.stderr
    assert sh(repository, "diff", "--name-only", f"{ran.stdout.strip()}^", ran.stdout.strip()) == "a.txt"
    assert "secret: cannot be read (permission denied)" in shelf.message(repository, shelf.find(repository, "1"))


def test_what_is_beyond_the_limits_is_named_and_the_rest_is_saved(
    repository: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsaved_files, "IGNORED_BYTES", 1000)
    (workspace.path / "build").mkdir()
    (workspace.path / "build" / "big").write_bytes(BINARY)
    (workspace.path / "build" / "small").write_text("small\n")
    (workspace.path / "notes.txt").write_bytes(BINARY)

    ref = taken(workspace)

    assert sh(repository, "diff", "--name-only", f"{ref}^", ref).splitlines() == ["build/small", "notes.txt"]
    assert "build/: 1 file, 76.8 kB, beyond the limits of a snapshot" in caplog.text
    assert "build/: 1 file" in shelf.message(repository, shelf.find(repository, "1"))


def test_a_filter_that_fails_costs_only_its_files(repository: Path, workspace: Workspace) -> None:
    sh(repository, "config", "filter.broken.clean", "false")
    sh(repository, "config", "filter.broken.required", "true")
    (workspace.path / ".gitattributes").write_text("*.bad filter=broken\n")
    for number in range(20):
        (workspace.path / f"{number}.txt").write_text("good\n")
    for number in range(60):
        (workspace.path / f"{number}.bad").write_text("bad\n")

    ref = taken(workspace)

    assert len(sh(repository, "diff", "--name-only", f"{ref}^", ref).splitlines()) == 21
    assert shelf.find(repository, ref).left_out == 60


WRITER = """
import os, sys
os.chdir(sys.argv[1])
number = 0
while True:
    number += 1
    with open("grows.txt", "a" if number % 50 else "w") as file:
        file.write("x" * 100_000)
    with open(f"comes-{number % 40}.txt", "w") as file:
        file.write(str(number))
    for name in (f"comes-{(number + 20) % 40}.txt", "a.txt"):
        try:
            os.unlink(name)
        except FileNotFoundError:
            with open(name, "w") as file:
                file.write("back")
    with open("ticks", "w") as file:
        file.write(str(number))
"""


@pytest.fixture
def writer(workspace: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(workspace.path)])
    yield process
    process.kill()
    process.wait()


def test_snapshots_are_taken_while_a_process_changes_files_all_the_time(
    repository: Path, workspace: Workspace, writer: subprocess.Popen[bytes]
) -> None:
    (workspace.path / "steady.txt").write_text("steady\n")
    until((workspace.path / "ticks").exists, "the writer writes")

    refs = [taken(workspace, thorough=number % 2 == 0) for number in range(6)]

    assert writer.poll() is None
    assert len(set(refs)) == 6
    for ref in refs:
        assert sh(repository, "show", f"{ref}:steady.txt") == "steady"
        assert sh(repository, "ls-tree", ref, "ticks")


# --- refs ----------------------------------------------------------------------------------------------------------


def test_nothing_to_save_makes_no_ref(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "__pycache__").mkdir()
    (workspace.path / "__pycache__" / "a.pyc").write_text("")
    (workspace.path / "a.txt").write_text("a.txt\n")

    assert take(workspace) is None
    assert take(workspace, thorough=True) is None
    assert shelf.all_of(repository) == []


def test_twenty_equal_snapshots_are_one(repository: Path, workspace: Workspace) -> None:
    spoil(workspace.path)

    taken_refs = [take(workspace, why=f"look {number}", thorough=number % 2 == 1) for number in range(20)]

    assert taken_refs == ["refs/agent-runner/1/11aa22bb/1"] + [None] * 19
    assert len(shelf.all_of(repository)) == 1


def test_each_new_state_is_a_snapshot_of_its_own_and_committing_it_ends_that(
    repository: Path, workspace: Workspace
) -> None:
    for number in (1, 2):
        (workspace.path / "new.txt").write_text(f"{number}\n")
        assert take(workspace) == f"refs/agent-runner/1/11aa22bb/{number}"
    commit(workspace.path, "new.txt")

    assert take(workspace) is None


def test_a_snapshot_says_task_claim_attempt_why_and_time(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "new.txt").write_text("new\n")

    ref = take(workspace, why="the agent\n\x1b[2J died")

    one = shelf.find(repository, ref or "")
    assert (one.task, one.claim, one.number, one.files, one.left_out) == ("1", "11aa22bb", 1, 1, 0)
    assert one.why == "the agent \\x1b[2J died"
    assert one.time > 1_600_000_000
    assert f"Task: 1\nClaim: {CLAIM}\nAttempt: 1" in shelf.message(repository, one)
    assert (
        sh(repository, "log", "-1", "--format=%an <%ae>", one.ref) == "Advanced Agent Runner <agent-runner@localhost>"
    )


@pytest.mark.parametrize("task_id", ["../../heads/main", "a/b", "", "-", "x" * 65, "a\n", "$(id)", "@{-1}", "a..b"])
def test_a_hostile_id_reaches_no_ref(repository: Path, workspace: Workspace, task_id: str) -> None:
    (workspace.path / "new.txt").write_text("new\n")
    refs = sh(repository, "for-each-ref")

    if task_id == "-":  # git allows it, and so do we
        assert snapshot.take(workspace, task_id, CLAIM, why="") == "refs/agent-runner/-/11aa22bb/1"
        return
    with pytest.raises(UnsafeName):
        snapshot.take(workspace, task_id, CLAIM, why="")
    with pytest.raises(UnsafeName):
        snapshot.take(workspace, "1", task_id, why="")
    assert sh(repository, "for-each-ref") == refs


def test_a_lock_that_a_killed_git_left_costs_a_number_only(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "new.txt").write_text("new\n")
    folder = repository / ".git" / "refs" / "agent-runner" / "1" / "11aa22bb"
    folder.mkdir(parents=True)
    (folder / "1.lock").touch()

    assert take(workspace) == "refs/agent-runner/1/11aa22bb/2"


def test_a_repository_without_user_name_and_with_signing_is_no_obstacle(
    repository: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for name, value in (("user.useConfigOnly", "true"), ("commit.gpgSign", "true"), ("core.splitIndex", "true")):
        sh(repository, "config", name, value)
    spoil(workspace.path)
    before, own = files_of(workspace.path), agents_own(workspace)

    taken(workspace)

    assert agents_own(workspace) == own
    assert files_of(brought_back(repository)) == before
    assert files_of(brought_back(repository, commit=True)) == before


def test_hooks_planted_in_the_repository_do_not_run(repository: Path, workspace: Workspace) -> None:
    spoil(workspace.path)
    ran = repository.parent / "ran"
    for name in ("reference-transaction", "post-index-change", "post-checkout", "pre-commit", "commit-msg"):
        hook = repository / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
        hook.chmod(0o755)
    sh(repository, "config", "core.fsmonitor", f"touch {ran}; false")

    taken(workspace, thorough=True)
    brought_back(repository)

    assert not ran.exists()


# --- restoring -----------------------------------------------------------------------------------------------------


def test_restoring_twice_makes_two_directories_and_two_branches(repository: Path, workspace: Workspace) -> None:
    spoil(workspace.path)
    taken(workspace)

    first, second = brought_back(repository), brought_back(repository)

    assert (first.name, second.name) == ("back", "back-2")
    assert files_of(first) == files_of(second)
    assert sh(first, "branch", "--show-current") == "restored/1-11aa22bb-1"
    assert sh(second, "branch", "--show-current") == "restored/1-11aa22bb-1-2"


def test_an_existing_directory_and_a_branch_in_the_way_are_left_alone(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "new.txt").write_text("new\n")
    taken(workspace)
    (repository.parent / "back").mkdir()
    sh(repository, "branch", "restored")

    back = brought_back(repository)

    assert back.name == "back-2"
    assert list((repository.parent / "back").iterdir()) == []
    assert sh(back, "branch", "--show-current") == "restored-1-11aa22bb-1"


def test_a_restore_that_fails_leaves_nothing_behind(repository: Path, workspace: Workspace) -> None:
    commit(workspace.path, ".gitattributes", "*.low filter=broken\n")
    (workspace.path / "new.low").write_text("lower\n")
    taken(workspace)
    sh(repository, "config", "filter.broken.smudge", "false")
    sh(repository, "config", "filter.broken.required", "true")
    before = sh(repository, "for-each-ref"), sh(repository, "worktree", "list")

    with pytest.raises(GitFailed, match="could not be brought back"):
        brought_back(repository)

    assert (sh(repository, "for-each-ref"), sh(repository, "worktree", "list")) == before
    assert not (repository.parent / "back").exists()


def test_a_name_finds_the_newest_and_what_fits_nothing_or_several_claims_is_told(
    repository: Path, workspace: Workspace
) -> None:
    for claim in ("11aa0000", "11bb0000"):
        for text in "xy":
            (workspace.path / "new.txt").write_text(claim + text)
            snapshot.take(workspace, "1", claim, why=text)

    assert shelf.find(repository, "1").name == "1/11bb0000/2"
    assert shelf.find(repository, "1/11a").name == "1/11aa0000/2"
    assert shelf.find(repository, "refs/agent-runner/1/11aa0000/1").why == "x"
    with pytest.raises(NotFound, match="1/11aa0000, 1/11bb0000"):
        shelf.find(repository, "1/11")
    with pytest.raises(NotFound, match="Near it: .*1/11bb0000/2"):
        shelf.find(repository, "1/11bb0000/3")
    with pytest.raises(NotFound, match="no snapshot '--all'"):
        shelf.find(repository, "--all")


def test_a_ref_of_somebody_else_in_our_place_is_not_taken_for_a_snapshot(
    repository: Path, workspace: Workspace
) -> None:
    sh(repository, "update-ref", "refs/agent-runner/other", "HEAD")
    blob = sh(repository, "hash-object", "-w", "a.txt")
    sh(repository, "update-ref", "refs/agent-runner/1/11aa22bb/7", blob)
    (workspace.path / "new.txt").write_text("new\n")

    assert taken(workspace)
    assert len(shelf.all_of(repository)) == 1


# --- killed anywhere -----------------------------------------------------------------------------------------------

STRACED = """#!/bin/sh
# git, killed once at its n-th system call of one kind, in the chosen command
case " $* " in *" {command} "*)
    if [ ! -e {once} ]; then
        strace -f -o {trace} -e trace={call} -e inject={call}:signal=SIGKILL:when={nth} {git} "$@"
        code=$?
        if grep -q SIGKILL {trace}; then touch {once}; kill -KILL $$; fi
        exit $code
    fi ;;
esac
exec {git} "$@"
"""
CALLS = ("mkdir,mkdirat", "write,pwrite64", "link", "rename,renameat2", "unlink,unlinkat", "fsync,sync_file_range")


def _kill_git(directory: Path, command: str, call: str, nth: int) -> Path:
    """Make a git that dies once, at the n-th such call of a command; return what is there when it has died."""
    directory.mkdir(exist_ok=True)
    once, program = directory / "once", directory / "git"
    once.unlink(missing_ok=True)
    words = {"command": command, "once": once, "call": call, "nth": nth, "git": GIT, "trace": directory / "trace"}
    program.write_text(STRACED.format(**words))
    program.chmod(0o755)
    return once


def _can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode == 0


@pytest.mark.skipif(not _can_trace(), reason="strace is missing or may not trace: git is not killed half-way")
@pytest.mark.parametrize(
    ("command", "at_least"),
    [("read-tree", 3), ("update-index --add", 10), ("write-tree", 8), ("commit-tree", 4), ("update-ref", 4)],
)
def test_git_killed_at_any_change_of_a_file_costs_at_most_that_snapshot(
    repository: Path,
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    at_least: int,
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    kills = 0
    for call in CALLS:
        nth, killed = 0, True
        while killed:
            nth += 1
            for name in ("a.txt", "new.txt", "deep/other.txt"):
                (workspace.path / name).write_text(f"{call} {nth}\n")
            before = agents_own(workspace)
            once = _kill_git(tmp_path / "bin", command, call, nth)

            ref = _taken_unless_killed(workspace)
            killed = once.exists()
            kills += killed

            ref = ref or taken(workspace)
            assert sh(repository, "show", f"{ref}:new.txt") == f"{call} {nth}"
            assert agents_own(workspace) == before
            sh(repository, "fsck", "--connectivity-only")
            sh(repository, "worktree", "list")
    assert kills >= at_least, "the places to kill it at were found"


def _taken_unless_killed(workspace: Workspace) -> str | None:
    try:
        return take(workspace)
    except GitFailed:
        return None


def test_no_scratch_directory_is_left(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    spoil(workspace.path)

    taken(workspace, thorough=True)

    assert list((tmp_path / "tmp").iterdir()) == []
