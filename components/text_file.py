"""Reading a small text file whole, or saying why it cannot be read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

LIMIT = 256 * 1024
SHARED = stat.S_IRWXG | stat.S_IRWXO


class Unreadable(ValueError):
    """The file cannot be used; the message says why and what to do, without naming the file."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file's whole text with its permission bits."""

    text: str
    mode: int

    @property
    def is_private(self) -> bool:
        """Return whether only the owner has any access."""
        return not self.mode & SHARED

    @property
    def is_world_writable(self) -> bool:
        """Return whether anyone on the machine may change it."""
        return bool(self.mode & stat.S_IWOTH)


def read(path: Path, *, limit: int = LIMIT, follow: bool = True) -> TextFile:
    """Read a regular UTF-8 file of at most `limit` bytes.

    Never waits: a pipe or a device is refused. With `follow=False` a symbolic link is refused too.
    Raises FileNotFoundError when there is no such file, Unreadable for everything else.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        with os.fdopen(os.open(path, flags), "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Unreadable("not a regular file; name one")
            content = opened.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        why = "a symbolic link" if not follow and path.is_symlink() else (error.strerror or str(error)).lower()
        raise Unreadable(f"cannot be read ({why}); name a regular file that this user may read") from error
    if len(content) > limit:
        raise Unreadable(f"larger than {limit // 1024} kB; make it smaller")
    try:
        return TextFile(content.decode("utf-8-sig"), stat.S_IMODE(mode))
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from None
