"""Finds the scripts of a moment, and refuses those that somebody else could have written."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROGRAM = Path(__file__).resolve()
SHIPPED = (PROGRAM.with_name("default_hooks"), PROGRAM.parents[1] / "hooks")
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class HookFile:
    """A script of a hooks directory: its name there, and the words that start it with that directory as its own.

    `refusal` says why it may not run and what to do about it; then `argv` is empty.
    """

    name: str
    argv: tuple[str, ...] = ()
    refusal: str = ""


class Untrusted(Exception):
    """A hook file that may not be run."""


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[int | None]:
    """Hold a hooks directory open, so that what is checked is what is run; None when there is none.

    Raises OSError when it is there and cannot be read.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def find(directory: int, moment: str) -> Iterator[HookFile]:
    """Yield the scripts of a moment in the order they run: `M.py`, `M`, `M.sh`, then `M.d/*` by name.

    A directory, a hidden name or one that ends in `~` is no script. Each is checked when it is asked for, so that a
    script which an earlier one changed is judged as it is then.
    """
    for name in (f"{moment}.py", moment, f"{moment}.sh"):
        if _is_there(directory, name):
            yield _judged(directory, name)
    for name in _names_in(directory, f"{moment}.d"):
        yield _judged(directory, f"{moment}.d/{name}")


def _is_there(directory: int, name: str) -> bool:
    """Tell whether a name is a script's, also when it is a link that leads nowhere: that is refused, not skipped."""
    try:
        return not stat.S_ISDIR(os.stat(name, dir_fd=directory).st_mode)
    except FileNotFoundError:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(name, dir_fd=directory)
            return True
        return False
    except OSError:
        return True


def _names_in(directory: int, folder: str) -> list[str]:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return []
    try:
        names = sorted(entry.name for entry in _at(fd).iterdir())
        return [name for name in names if not name.startswith(".") and not name.endswith("~") and _is_there(fd, name)]
    finally:
        os.close(fd)


def _at(fd: int) -> Path:
    """Return the name under which this process, and a child before its exec, finds an open descriptor."""
    return Path(f"/proc/self/fd/{fd}")


def _judged(directory: int, name: str) -> HookFile:
    try:
        path = _trusted(directory, name)
    except Untrusted as refusal:
        return HookFile(name, refusal=str(refusal))
    except OSError as error:
        return HookFile(name, refusal=f"it cannot be opened ({error.strerror}); correct or remove it")
    return HookFile(name, (sys.executable, str(path)) if name.endswith(".py") else (f"./{path}",))


def _trusted(directory: int, name: str) -> PurePosixPath:
    """Return where a script really is, relative to the directory. Raises Untrusted or OSError.

    Everything on the way there is checked, from the open directory down. After that only a trusted owner can put
    something else in its place: there is nothing to win between the check and the start.
    """
    root = _at(directory).readlink()
    fd = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=directory)
    try:
        real, status = _at(fd).readlink(), os.fstat(fd)
    finally:
        os.close(fd)
    if not real.is_relative_to(root):
        raise Untrusted(f"it is a link that leads out of {root}, to {real}; put the script itself there")
    place = PurePosixPath(real.relative_to(root))
    shipped = root in SHIPPED
    for folder in sorted({*PurePosixPath(name).parents, *place.parents}):
        seen = os.stat(folder, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISLNK(seen.st_mode):  # a link has no mode; where it leads is among `place.parents`
            _check_owner(root / folder, seen, shipped)
    if not stat.S_ISREG(status.st_mode):
        raise Untrusted("it is not a regular file; put a script there or remove it")
    _check_owner(real, status, shipped)
    if not name.endswith(".py") and not status.st_mode & 0o111:
        raise Untrusted(f"it is not executable; run: chmod u+x '{real}'")
    return place


def _check_owner(path: Path, status: os.stat_result, shipped: bool) -> None:
    """Raise Untrusted when somebody other than a trusted owner could have written a file or a directory's names.

    The hooks that came with the program may be as open as the program's own files, and no more: who can change those
    needs no hook. So a clone made with umask 002, or on a file system without modes, works as it is.
    """
    if status.st_uid not in owners():
        raise Untrusted(f"{path} belongs to user id {status.st_uid}; run: chown {os.geteuid()} '{path}'")
    writable = status.st_mode & OTHERS_MAY_WRITE
    if writable & stat.S_IWGRP and is_private(status.st_gid):
        writable &= ~stat.S_IWGRP
    if shipped:
        writable &= ~_open_to_others(status.st_gid)
    if writable:
        who = "every user" if writable & stat.S_IWOTH else f"every member of group id {status.st_gid}"
        raise Untrusted(f"{path} can be changed by {who}; run: chmod go-w '{path}'")


def _open_to_others(group: int) -> int:
    """Return the write bits that the program's own file gives to others, the group's only if it is this group."""
    program = PROGRAM.stat()
    bits = program.st_mode & OTHERS_MAY_WRITE
    return bits if program.st_gid == group else bits & ~stat.S_IWGRP


def owners() -> frozenset[int]:
    """Return the user ids whose files we run: root, ourselves, and the owner of this program."""
    return frozenset({0, os.geteuid(), PROGRAM.stat().st_uid})


def is_private(group: int) -> bool:
    """Tell whether a group is one user's own, and that user trusted: what makes umask 002 a safe default.

    Such a group bears its user's name (or number, where it has no name), and nobody else is known to be in it.
    """
    trusted = owners()
    names = {entry.pw_name for entry in pwd.getpwall() if entry.pw_uid in trusted}
    guests = [entry for entry in pwd.getpwall() if entry.pw_gid == group and entry.pw_uid not in trusted]
    try:
        known = grp.getgrgid(group)
    except KeyError:
        return group in trusted and not guests
    return known.gr_name in names and not guests and not set(known.gr_mem) - names
