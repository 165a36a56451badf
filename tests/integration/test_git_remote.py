"""Clone, fetch and push against real git over real HTTP: tokens, redirects, limits, hostile configuration."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import git, git_remote
from components.errors import (
    GitFailed,
    GitTimedOut,
    PushRejected,
    RemoteMissing,
    RemoteRefused,
    RemoteUnavailable,
    RepositoryTooLarge,
    UnsafeName,
)
from components.git_credential import Token
from components.git_remote import Remote
from components.git_url import Admission
from tests.git_http import GitServer, serving
from tests.runner import git as sh
from tests.runner import make_repository

SECRET = "ghp-not-a-real-one-4711"
ADMISSION = Admission(plain_hosts=("127.0.0.2",))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    repository = make_repository(tmp_path / "source")
    for number in range(3):
        (repository / "README").write_text(f"{number}\n")
        sh(repository, "commit", "-qam", f"Change {number}")
    sh(repository, "branch", "other", "HEAD~1")
    return repository


@pytest.fixture
def server(tmp_path: Path, source: Path) -> Iterator[GitServer]:
    with serving(tmp_path / "served") as running:
        running.make(source)
        yield running


def remote(server: GitServer, secret: str = "", timeout: float = 30.0, name: str = "shop.git") -> Remote:
    url = ADMISSION.admit(server.url(name))
    return Remote(url, Token(secret) if secret else None, timeout)


def everything_below(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def test_a_public_repository_is_cloned_with_its_branches(server: GitServer, source: Path, tmp_path: Path) -> None:
    made = git_remote.clone(remote(server), tmp_path / "clone")

    assert (made.branch, made.commit) == ("main", sh(source, "rev-parse", "HEAD"))
    assert (made.path / "README").read_text() == "2\n"
    assert git.status(made.path) == []
    assert {"main", "other"} <= set(git.branches(made.path))


def test_a_clone_may_be_shallow_of_one_branch(server: GitServer, tmp_path: Path) -> None:
    made = git_remote.clone(remote(server), tmp_path / "clone", branch="other", depth=1, single_branch=True)

    assert made.branch == "other"
    assert sh(made.path, "rev-list", "--count", "HEAD") == "1"
    assert "origin/main" not in sh(made.path, "branch", "--remotes")


def test_a_token_opens_a_private_repository_and_is_kept_nowhere(
    server: GitServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.password = SECRET
    caplog.set_level("DEBUG")

    made = git_remote.clone(remote(server, SECRET), tmp_path / "clone")

    assert (made.path / "README").exists()
    assert SECRET.encode() not in everything_below(made.path)
    assert SECRET not in caplog.text
    assert SECRET not in repr(remote(server, SECRET))
    assert not any(SECRET in path for path, _ in server.asked)


def test_the_token_is_on_no_command_line(server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.password = SECRET
    log, shim = tmp_path / "argv", tmp_path / "bin"
    shim.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (shim / "git").write_text(f'#!/bin/sh\necho "$0 $@" >> {log}\nexec {real} "$@"\n')
    (shim / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))

    git_remote.clone(remote(server, SECRET), tmp_path / "clone")

    assert "clone" in log.read_text()
    assert SECRET not in log.read_text()
    assert not (tmp_path / "trace").exists()


def test_the_checkout_runs_without_the_token(server: GitServer, source: Path, tmp_path: Path) -> None:
    """A filter that the user has configured runs at the checkout, and would see the environment of git."""
    (source / ".gitattributes").write_text("* filter=spy\n")
    sh(source, "add", "-A")
    sh(source, "commit", "-qm", "Attributes")
    server.make(source, "spied.git")
    server.password = SECRET
    spied = tmp_path / "spied"
    with Path(os.environ["GIT_CONFIG_GLOBAL"]).open("a") as config:
        config.write(f'[filter "spy"]\n\tsmudge = "env >> {spied}; cat"\n\tclean = cat\n')

    git_remote.clone(remote(server, SECRET, name="spied.git"), tmp_path / "clone")

    assert "PATH=" in spied.read_text()
    assert SECRET not in spied.read_text()


def test_helpers_of_other_people_are_asked_nothing_and_told_nothing(server: GitServer, tmp_path: Path) -> None:
    server.password = SECRET
    heard = tmp_path / "heard"
    spy = f'"!f() {{ echo $1 >> {heard}; cat >> {heard}; }}; f"'
    with Path(os.environ["GIT_CONFIG_GLOBAL"]).open("a") as config:
        config.write(f'[credential]\n\thelper = {spy}\n[credential "{server.origin}"]\n\thelper = {spy}\n')

    git_remote.clone(remote(server, SECRET), tmp_path / "clone")

    assert not heard.exists()


@pytest.mark.parametrize("secret", ["", "a-wrong-token-0815"])
def test_a_missing_and_a_wrong_token_are_told_apart_from_other_failures(
    server: GitServer, tmp_path: Path, secret: str
) -> None:
    server.password = SECRET

    with pytest.raises(RemoteRefused, match="git_tokens") as refused:
        git_remote.clone(remote(server, secret), tmp_path / "clone")

    assert "a-wrong-token" not in str(refused.value)
    assert not (tmp_path / "clone").exists()


def test_a_redirect_to_another_host_is_told_no_token(server: GitServer, source: Path, tmp_path: Path) -> None:
    server.password = SECRET
    with serving(tmp_path / "elsewhere", "127.0.0.2") as other:
        other.make(source)
        other.password = SECRET
        server.redirect = other.origin

        with pytest.raises(RemoteRefused):
            git_remote.clone(remote(server, SECRET), tmp_path / "clone")

        assert other.asked, "the redirect was followed"
        assert {given for _, given in other.asked} == {""}


def test_where_the_hosts_are_listed_no_redirect_is_followed(server: GitServer, source: Path, tmp_path: Path) -> None:
    url = Admission(hosts=("127.0.0.1",)).admit(server.url())
    with serving(tmp_path / "elsewhere", "127.0.0.2") as other:
        other.make(source)
        server.redirect = other.origin

        with pytest.raises(GitFailed):
            git_remote.clone(Remote(url), tmp_path / "clone")

        assert other.asked == []


def test_a_server_that_does_not_answer_is_left_at_the_time_limit(server: GitServer, tmp_path: Path) -> None:
    server.gate.clear()
    began = time.monotonic()

    with pytest.raises(GitTimedOut, match="clone_timeout"):
        git_remote.clone(remote(server, timeout=1.0), tmp_path / "clone")

    assert time.monotonic() - began < 20
    assert not (tmp_path / "clone").exists()


def test_a_repository_that_unpacks_to_more_than_is_allowed_is_left_and_cleared_away(
    server: GitServer, source: Path, tmp_path: Path
) -> None:
    """Megabytes of zeroes are kilobytes on the way: what counts is what lies on the disk."""
    for number in range(40):
        (source / f"large-{number}").write_bytes(bytes([number]) * (1 << 20))
    sh(source, "add", "-A")
    sh(source, "commit", "-qm", "Large")
    server.make(source, "large.git")

    with pytest.raises(RepositoryTooLarge, match="clone_limit"):
        slow_checkout(tmp_path)
        git_remote.clone(remote(server, name="large.git"), tmp_path / "clone", most_bytes=4 << 20)

    assert not (tmp_path / "clone").exists()


def slow_checkout(tmp_path: Path) -> None:
    """Have each file take a moment, as on a slow disk, so that the limit is reached before the end."""
    with Path(os.environ["GIT_CONFIG_GLOBAL"]).open("a") as config:
        config.write(
            f'[filter "slow"]\n\tsmudge = "sleep 0.2; cat"\n[core]\n\tattributesFile = {tmp_path}/attributes\n'
        )
    (tmp_path / "attributes").write_text("large-* filter=slow\n")


def test_a_clone_that_is_too_large_but_fast_is_found_when_it_is_there(
    server: GitServer, source: Path, tmp_path: Path
) -> None:
    (source / "large").write_bytes(os.urandom(6 << 20))
    sh(source, "add", "-A")
    sh(source, "commit", "-qm", "Large")
    server.make(source, "large.git")

    with pytest.raises(RepositoryTooLarge, match="allowed"):
        git_remote.clone(remote(server, name="large.git"), tmp_path / "clone", most_bytes=1 << 20)

    assert not (tmp_path / "clone").exists()


def test_what_is_not_there_is_named(server: GitServer, tmp_path: Path) -> None:
    with pytest.raises(RemoteMissing, match="nothing.git"):
        git_remote.clone(remote(server, name="nothing.git"), tmp_path / "clone")
    with pytest.raises(RemoteMissing, match="no-such"):
        git_remote.clone(remote(server), tmp_path / "clone", branch="no-such")
    subprocess.run(["git", "init", "-q", "--bare", str(server.root / "empty.git")], check=True)
    with pytest.raises(RemoteMissing, match="no commit"):
        git_remote.clone(remote(server, name="empty.git"), tmp_path / "clone")


def test_a_port_where_nobody_listens_is_a_remote_that_is_away(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = ADMISSION.admit(f"http://127.0.0.1:{taken.getsockname()[1]}/shop.git")
        with pytest.raises(RemoteUnavailable):
            git_remote.clone(Remote(url), tmp_path / "clone")


def test_a_branch_that_git_could_take_for_an_option_never_reaches_it(server: GitServer, tmp_path: Path) -> None:
    with pytest.raises(UnsafeName):
        git_remote.clone(remote(server), tmp_path / "clone", branch="--upload-pack=touch")

    assert server.asked == []


def test_fetch_brings_what_is_new_and_forgets_what_is_gone(server: GitServer, source: Path, tmp_path: Path) -> None:
    server.password = SECRET
    made = git_remote.clone(remote(server, SECRET), tmp_path / "clone")
    (source / "README").write_text("newer\n")
    sh(source, "commit", "-qam", "Newer")
    sh(source, "push", "-q", str(server.root / "shop.git"), "main", ":other")

    there = git_remote.fetch(made.path, remote(server, SECRET))

    assert there == {"main": sh(source, "rev-parse", "HEAD")}
    assert git.head_commit(made.path) == made.commit
    assert SECRET.encode() not in everything_below(made.path)


def test_a_push_brings_a_branch_and_repeating_it_changes_nothing(server: GitServer, tmp_path: Path) -> None:
    server.password = SECRET
    made = git_remote.clone(remote(server, SECRET), tmp_path / "clone")
    sh(made.path, "checkout", "-q", "-b", "work")
    sh(made.path, "commit", "-q", "--allow-empty", "-m", "Work")
    tip = git.head_commit(made.path)

    first = git_remote.push(made.path, remote(server, SECRET), "work")
    second = git_remote.push(made.path, remote(server, SECRET), "work")

    assert (first.before, first.commit, second.before) == ("", tip, tip)
    assert sh(server.root / "shop.git", "rev-parse", "work") == tip


def test_a_push_never_overwrites_what_others_have_pushed(server: GitServer, source: Path, tmp_path: Path) -> None:
    made = git_remote.clone(remote(server), tmp_path / "clone")
    sh(source, "commit", "-q", "--allow-empty", "-m", "Theirs")
    sh(source, "push", "-q", str(server.root / "shop.git"), "main")
    sh(made.path, "commit", "-q", "--allow-empty", "-m", "Ours")

    with pytest.raises(PushRejected, match="Fetch"):
        git_remote.push(made.path, remote(server), "main")

    assert sh(server.root / "shop.git", "rev-parse", "main") == sh(source, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url.http://127.0.0.2/.insteadOf", "http://127.0.0.1"),
        ("http.proxy", "http://127.0.0.2:1"),
        ("http.sslVerify", "false"),
        ("credential.helper", "!cat >&2"),
        ("remote.origin.proxy", "http://127.0.0.2:1"),
        ("core.sshCommand", "touch owned"),
    ],
)
def test_configuration_that_an_agent_wrote_into_a_clone_does_not_lead_the_token_elsewhere(
    server: GitServer, tmp_path: Path, name: str, value: str
) -> None:
    server.password = SECRET
    made = git_remote.clone(remote(server, SECRET), tmp_path / "clone")
    sh(made.path, "config", name, value)
    asked = len(server.asked)

    with pytest.raises(GitFailed, match="changes how remotes are reached"):
        git_remote.push(made.path, remote(server, SECRET), "main")
    with pytest.raises(GitFailed, match="changes how remotes are reached"):
        git_remote.fetch(made.path, remote(server, SECRET))

    assert len(server.asked) == asked
