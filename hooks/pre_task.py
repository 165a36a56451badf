"""Looks whether this machine and the repository are fit for a task, before an agent is given it.

Reads the payload of the moment `pre_task` (JSON) on stdin. Exit code 0: go; 75: later (room or memory is short, git is
busy); 1: no (the repository is broken, or somebody is in the middle of something in it). Needs Python and git only,
and stands alone: copy it where you like and change it.

    HEADLESS_PM_MIN_DISK_MB=1024      later, with less free on the file system of the repository or the runner's home
    HEADLESS_PM_MIN_INODES=10000      later, with fewer free there (where their number is fixed)
    HEADLESS_PM_MIN_MEMORY_MB=256     later, with less available
    HEADLESS_PM_WARN_MEMORY_MB=1024   a warning, with less available
    HEADLESS_PM_REQUIRE_CLEAN=0       1: no, for a minor task, while the repository has changes that are not committed
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

GO, NO, LATER = 0, 1, 75
MEGABYTE = 1 << 20
GIT_SECONDS = 20
UNFINISHED = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisect",
}


class Stop(Exception):
    """The task may not start: the exit code, and the line that says why and what to do."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


def main() -> int:
    try:
        payload = read_payload()
        check_disk(payload)
        memory = check_memory()
        check_repository(payload)
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    print(f"fit for the task: {memory} MB of memory available")
    return GO


def read_payload() -> dict[str, Any]:
    try:
        payload: dict[str, Any] = json.loads(sys.stdin.buffer.read())
        if not {"repository", "home", "task"} <= payload.keys():
            raise ValueError("`repository`, `home` or `task` is missing")
    except (ValueError, AttributeError) as error:
        raise Stop(NO, f"stdin is not the JSON of a pre_task moment ({error}); see docs/hooks.md") from error
    return payload


def setting(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        raise Stop(NO, f"{name}: {text!r} is not a number; set it to one, such as {default:g}") from None


def check_disk(payload: dict[str, Any]) -> None:
    least_room = setting("HEADLESS_PM_MIN_DISK_MB", 1024)
    least_inodes = setting("HEADLESS_PM_MIN_INODES", 10_000)
    for name in ("repository", "home"):
        place = existing(Path(payload[name]))
        status = os.statvfs(place)
        room = status.f_bavail * status.f_frsize // MEGABYTE
        where = f"on the file system of {place} ({name})"
        if room < least_room:
            remedy = "make room, or lower HEADLESS_PM_MIN_DISK_MB"
            raise Stop(LATER, f"low disk: {room} MB free {where}, {least_room:g} MB wanted; {remedy}")
        # A file system that makes inodes as it needs them says that it has 0.
        if status.f_files and status.f_favail < least_inodes:
            remedy = "delete small files, or lower HEADLESS_PM_MIN_INODES"
            raise Stop(LATER, f"low disk: {status.f_favail} inodes free {where}, {least_inodes:g} wanted; {remedy}")


def existing(path: Path) -> Path:
    """Return the path, or its nearest parent that is there."""
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def check_memory() -> int:
    available = memory_megabytes()
    least = setting("HEADLESS_PM_MIN_MEMORY_MB", 256)
    if available < least:
        remedy = "end something, or lower HEADLESS_PM_MIN_MEMORY_MB"
        raise Stop(LATER, f"low memory: {available} MB available, {least:g} MB wanted; {remedy}")
    wished = setting("HEADLESS_PM_WARN_MEMORY_MB", 1024)
    if available < wished:
        print(f"warning: low memory: {available} MB available, {wished:g} MB are better", file=sys.stderr)
    return available


def memory_megabytes() -> int:
    """Return what can be had without swapping: the machine's, or less where a control group limits us."""
    words = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    available = next(int(word[1]) * 1024 for word in words if word[0] == "MemAvailable:")
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())  # "max" is no number: no limit
        used = int((group / "memory.current").read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        available = min(available, limit - used + int(statistics["inactive_file"]))
    except (OSError, ValueError, KeyError):
        pass
    return available // MEGABYTE


def check_repository(payload: dict[str, Any]) -> None:
    repository = Path(payload["repository"])
    if not repository.is_dir():
        raise Stop(NO, f"repository: {repository} is not a directory; set `repository` to where the repository is")
    directory = Path(git(repository, "rev-parse", "--absolute-git-dir").strip())
    git(repository, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if payload["task"].get("complexity") == "major":
        return  # it gets a worktree of its own: what goes on in the main checkout is no matter
    for name, what in UNFINISHED.items():
        if (directory / name).exists():
            remedy = "finish or abort it; a minor task works in this checkout"
            raise Stop(NO, f"repository: {what} is unfinished in {repository}; {remedy}")
    check_lock(directory / "index.lock")
    check_clean(repository)


def check_lock(lock: Path) -> None:
    try:
        age = max(0.0, time.time() - lock.lstat().st_mtime)
    except FileNotFoundError:
        return
    raise Stop(LATER, f"repository: git is at work ({lock}, {age:.0f} s old); if no git runs there, remove that file")


def check_clean(repository: Path) -> None:
    changed = git(repository, "status", "--porcelain").splitlines()
    if not changed:
        return
    line = f"repository: {repository} has {len(changed)} changes that are not committed, first: {changed[0].strip()}"
    if setting("HEADLESS_PM_REQUIRE_CLEAN", 0):
        raise Stop(NO, f"{line}; commit or stash them, or set HEADLESS_PM_REQUIRE_CLEAN=0")
    print(f"warning: {line}; they may end up in the task's commit", file=sys.stderr)


def git(repository: Path, *words: str) -> str:
    """Return what git prints. Nothing of the repository's own making is run, and its index is not written."""
    argv = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            [*argv, "-C", str(repository), *words],
            capture_output=True,
            check=False,
            env=environment,
            errors="replace",
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=GIT_SECONDS,
        )
    except FileNotFoundError:
        raise Stop(NO, "git is not on the PATH of this hook; install it, or correct PATH") from None
    except subprocess.TimeoutExpired:
        raise Stop(LATER, f"repository: git {words[0]} took more than {GIT_SECONDS} s in {repository}") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or "it has no commit"
        raise Stop(NO, f"repository: git {words[0]} fails in {repository}: {said}; make it a repository with a commit")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
