"""Clones and worktrees of typed tasks: how they come about, what would be lost, how they go, and through kills."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components import clone_mark, clones, durable, git, snapshot, typed_task, workplace
from components.clone_mark import Mark
from components.clones import Wanted
from components.config import Config, load
from components.errors import ConfigError, NotFound, StillRunning, UnsafeUrl, UnsavedWork
from components.execution import WorkspaceEntry
from components.git_worktree import GitWorktree
from components.model import Task, Verdict, Workspace
from components.states import Complexity, Reason, WorkspaceKind
from components.store import Store
from components.task_persistence import host_name
from components.typed_task import TypedTask
from components.workspaces import Workspaces
from tests.git_http import GitServer, serving
from tests.runner import ROOT, make_repository
from tests.runner import git as sh

SECRET = "ghp-not-a-real-one-4711"
CLAIM = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    repository = make_repository(tmp_path / "source")
    sh(repository, "branch", "next")
    return repository


@pytest.fixture
def server(tmp_path: Path, source: Path) -> Iterator[GitServer]:
    with serving(tmp_path / "served") as running:
        running.make(source)
        running.password = SECRET
        yield running


@pytest.fixture
def config(tmp_path: Path) -> Config:
    token = tmp_path / "token"
    token.write_text(SECRET + "\n")
    token.chmod(0o600)
    return load({"home": str(tmp_path / "home"), "git_tokens": f"127.0.0.1={token}"}, {"HOME": str(tmp_path)}).config


@pytest.fixture
def places(config: Config) -> Iterator[Workspaces]:
    store = Store(config.store)
    yield Workspaces(config.home, clones.base_of(config), store, host_name())
    store.close()


def cloned(config: Config, server: GitServer, kind: str = "clone", branch: str = "") -> Path:
    place = workplace.chosen(config, server.url(), CLAIM, kind=kind, branch=branch)
    clones.provide(config, Wanted(place.clone_of, place.kind, CLAIM, branch), place.repository)
    return place.repository


def entry_of(places: Workspaces, path: Path) -> WorkspaceEntry:
    return places.find(str(path))


def test_a_clone_of_an_execution_is_made_once_at_its_branch(config: Config, server: GitServer) -> None:
    path = cloned(config, server, branch="next")
    (path / "left").write_text("by an agent\n")

    assert cloned(config, server, branch="next") == path
    assert git.current_branch(path) == "next"
    assert (path / "left").exists()
    assert clone_mark.of(path) == Mark(server.url(), CLAIM)


def test_the_shared_clone_follows_its_remote(config: Config, server: GitServer, source: Path) -> None:
    path = cloned(config, server, "worktree")
    sh(source, "commit", "-q", "--allow-empty", "-m", "Newer")
    sh(source, "push", "-q", str(server.root / "shop.git"), "main")

    assert cloned(config, server, "worktree") == path
    assert git.head_commit(path) == sh(source, "rev-parse", "HEAD")


def test_a_clone_that_was_killed_half_way_is_made_again(config: Config, server: GitServer) -> None:
    place = workplace.chosen(config, server.url(), CLAIM, kind="clone")
    half = place.repository.with_name(f".cloning-{place.repository.name}")
    half.mkdir(parents=True)
    (half / "torn").write_text("torn")

    path = cloned(config, server)

    assert (path / "README").exists()
    assert not half.exists()


@pytest.mark.parametrize(
    "word", ["ext::sh -c id", "file:///etc", "--upload-pack=id", "-oProxyCommand=id", "ssh://-x/y"]
)
def test_a_hostile_address_is_refused_before_anything_is_made(config: Config, word: str) -> None:
    with pytest.raises(UnsafeUrl):
        workplace.chosen(config, word, CLAIM)

    assert not clones.base_of(config).exists()


def test_what_is_not_known_is_named(config: Config, source: Path) -> None:
    with pytest.raises(ConfigError, match="write one of worktree, clone, in_place"):
        workplace.chosen(config, str(source), CLAIM, kind="container")
    with pytest.raises(UnsafeUrl, match="repository_roots"):
        workplace.chosen(config, str(source), CLAIM, kind="clone")
    with pytest.raises(UnsafeUrl, match="in place"):
        workplace.chosen(config, "https://example.org/a", CLAIM, kind="in_place")


def test_a_token_file_that_others_may_read_is_refused(config: Config, server: GitServer, tmp_path: Path) -> None:
    (tmp_path / "token").chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600") as refused:
        cloned(config, server)

    assert SECRET not in str(refused.value)


def commit(path: Path, message: str = "Work") -> None:
    sh(path, "commit", "-q", "--allow-empty", "-m", message)


def write(path: Path) -> None:
    (path / "new").write_text("precious\n")


def change(path: Path) -> None:
    (path / "README").write_text("precious\n")


def stash(path: Path) -> None:
    for number in range(2):
        (path / "README").write_text(f"precious {number}\n")
        sh(path, "stash", "-q")


def ignore(path: Path) -> None:
    (path / ".git" / "info" / "exclude").parent.mkdir(exist_ok=True)
    (path / ".git" / "info" / "exclude").write_text("secret.env\n")
    (path / "secret.env").write_text("precious\n")


def detach(path: Path) -> None:
    sh(path, "checkout", "-q", "--detach")
    commit(path)
    sh(path, "checkout", "-q", "-b", "other")
    sh(path, "checkout", "-q", "main")


def hide(path: Path) -> None:
    sh(path, "update-index", "--assume-unchanged", "README")
    (path / "README").write_text("precious\n")


def keep(path: Path) -> None:
    write(path)
    snapshot.take(Workspace(path, path, "main", git.head_commit(path)), "1", "c", why="a test")
    (path / "new").unlink()


UNSAVED = {
    "not pushed": commit,
    "untracked file": write,
    "uncommitted change": change,
    "2 stashes": stash,
    "ignored file": ignore,
    "commit that is": detach,
    "not in HEAD": hide,
    "snapshot of unsaved": keep,
}


@pytest.mark.parametrize("words", UNSAVED)
def test_a_clone_with_unsaved_work_stays(config: Config, server: GitServer, places: Workspaces, words: str) -> None:
    path = cloned(config, server)
    UNSAVED[words](path)

    assert any(words in reason for reason in places.unsaved(entry_of(places, path)))
    with pytest.raises(UnsavedWork, match=words):
        places.remove(entry_of(places, path))

    assert path.is_dir()
    assert entry_of(places, path).status != "cleaning"


def test_a_clone_without_unsaved_work_goes(config: Config, server: GitServer, places: Workspaces) -> None:
    path = cloned(config, server)

    removal = places.remove(entry_of(places, path))

    assert (removal.bundle, path.exists()) == (None, False)
    assert [one.name for one in path.parent.iterdir()] == [f".{path.name}.lock"]
    with pytest.raises(NotFound):
        entry_of(places, path)


@pytest.mark.parametrize("depth", [None, 1])
@pytest.mark.parametrize("words", UNSAVED)
def test_with_force_all_that_is_unsaved_comes_back_from_the_bundle(
    config: Config, server: GitServer, places: Workspaces, tmp_path: Path, source: Path, words: str, depth: int | None
) -> None:
    commit(source)
    sh(source, "push", "-q", str(server.root / "shop.git"), "main")
    path = cloned(replace(config, clone_depth=depth), server)
    UNSAVED[words](path)

    removal = places.remove(entry_of(places, path), force=True)

    assert removal.bundle is not None
    assert not path.exists()
    again = tmp_path / "again"
    subprocess.run(["git", "clone", "-q", str(server.root / "shop.git"), str(again)], check=True)
    sh(again, "fetch", "-q", str(removal.bundle), "refs/*:refs/saved/*")
    refs = sh(again, "for-each-ref", "--format=%(refname)", "refs/saved").splitlines()
    told = "".join(sh(again, "log", "-p", "-m", "--format=%s", ref, "--not", "--remotes") for ref in refs)
    assert ("Work" if UNSAVED[words] in (commit, detach) else "precious") in told
    if words == "2 stashes":
        assert {"precious 0", "precious 1"} <= set(told.replace("+", "").splitlines())


def test_a_shared_clone_with_worktrees_stays_even_with_force(
    config: Config, server: GitServer, places: Workspaces
) -> None:
    path = cloned(config, server, "worktree")
    task = Task("t1", "A task", complexity=Complexity.MAJOR)
    worktrees = GitWorktree(path)
    made = worktrees.open(task, CLAIM, 1)

    with pytest.raises(UnsavedWork, match="worktree"):
        places.remove(entry_of(places, path), force=True)

    assert worktrees.close(made) == []
    places.remove(entry_of(places, path), force=True)
    assert not path.exists()


def test_a_directory_that_is_not_ours_is_never_removed(config: Config, places: Workspaces, source: Path) -> None:
    there = clones.base_of(config) / "not-ours"
    sh(source, "clone", "-q", str(source), str(there))
    entry = WorkspaceEntry(host_name(), str(there), WorkspaceKind.CLONE, "x")

    for force in (False, True):
        with pytest.raises(UnsavedWork, match="by hand"):
            places.remove(entry, force=force)

    assert there.is_dir()


def worktree_of(source: Path, places: Workspaces) -> WorkspaceEntry:
    made = GitWorktree(source).open(Task("t1", "A task", complexity=Complexity.MAJOR), CLAIM, 1)
    entry = WorkspaceEntry(
        host_name(),
        str(made.path),
        WorkspaceKind.WORKTREE,
        str(source),
        "completed",
        made.branch,
        made.base_commit,
        CLAIM,
    )
    places._store.keep_workspace(entry)
    return places.find(str(made.path))


def test_a_worktree_with_unsaved_work_stays_and_with_force_leaves_a_snapshot(source: Path, places: Workspaces) -> None:
    entry = worktree_of(source, places)
    write(Path(entry.path))
    with pytest.raises(UnsavedWork, match="untracked"):
        places.remove(entry)

    removal = places.remove(entry, force=True)

    assert not Path(entry.path).exists()
    assert sh(source, "show", f"{removal.snapshot}:new") == "precious"
    assert places.all() == []


def test_a_workspace_of_another_machine_and_one_in_use_are_left_alone(
    source: Path, places: Workspaces, config: Config
) -> None:
    entry = worktree_of(source, places)
    with pytest.raises(NotFound, match="is on elsewhere"):
        places.remove(replace(entry, host="elsewhere"), force=True)
    run = config.home / "runs" / f"t{CLAIM[:8]}-{CLAIM[:8]}-1"
    run.mkdir(parents=True)
    lock = durable.try_lock(run / "alive")
    assert lock is not None
    try:
        with pytest.raises(StillRunning, match="in use by run"):
            places.remove(entry, force=True)
    finally:
        os.close(lock)
    assert Path(entry.path).is_dir()


@pytest.mark.parametrize(
    ("complexity", "is_over", "is_used"),
    [(Complexity.MAJOR, False, False), (Complexity.MINOR, True, False), (Complexity.MINOR, False, True)],
)
def test_a_checkout_is_in_use_only_by_who_works_in_it_itself(
    source: Path, places: Workspaces, config: Config, complexity: Complexity, is_over: bool, is_used: bool
) -> None:
    """Once it was in use by every execution of its repository whose runner lived: in a worktree, and over by then."""
    task = Task("t0", "Paint", complexity=complexity)
    directory = typed_task.save(config.home, TypedTask(CLAIM, task, source, "source"))
    if is_over:
        typed_task.keep_verdict(config.home, CLAIM, Verdict(Reason.SUCCEEDED))
    entry = WorkspaceEntry(host_name(), str(source), WorkspaceKind.IN_PLACE, str(source), execution_id=CLAIM)
    lock = durable.try_lock(directory / "alive")
    assert lock is not None

    with contextlib.closing(os.fdopen(lock)), pytest.raises(StillRunning) if is_used else contextlib.nullcontext():
        places.remove(entry)

    assert source.is_dir()


def test_stale_workspaces_go_but_for_unsaved_work_worktrees_before_their_clone(
    config: Config, server: GitServer, places: Workspaces, source: Path
) -> None:
    shared, own = cloned(config, server, "worktree"), cloned(config, server)
    commit(own)
    entry = worktree_of(shared, places)

    assert places.clean_up(1.0) == []
    done = {removal.entry.path: removal.kept for removal in places.clean_up(0.0)}

    assert done[entry.path] == ()
    assert done[str(shared)] == ()
    assert "not pushed" in done[str(own)][0]
    assert own.is_dir()
    assert not shared.exists()


REMOVE = """
import sys
from pathlib import Path
from components import clones, faults
from components.config import load
from components.store import Store
from components.task_persistence import host_name
from components.workspaces import Workspaces
faults.arm(sys.argv[3])
config = load({"home": sys.argv[1]}, {}).config
places = Workspaces(config.home, clones.base_of(config), Store(config.store), host_name())
places.remove(places.find(sys.argv[2]), force=bool(sys.argv[4]))
"""


@pytest.mark.parametrize("force", ["", "1"])
@pytest.mark.parametrize("point", ["clone.looked", "clone.aside", "clone.decided"])
def test_a_removal_that_is_killed_anywhere_can_be_repeated_and_loses_nothing(
    config: Config, server: GitServer, places: Workspaces, point: str, force: str
) -> None:
    path = cloned(config, server)
    if force:
        write(path)
    argv = [sys.executable, "-c", REMOVE, str(config.home), str(path), f"{point}:kill", force]
    killed = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr

    places.remove(entry_of(places, path), force=bool(force))

    assert [one.name for one in path.parent.iterdir()] == [f".{path.name}.lock"]
    bundles = list((config.home / "bundles").glob("*"))
    assert len(bundles) == (1 if force else 0)
    assert [one for one in places.all() if one.path == str(path)] == []
