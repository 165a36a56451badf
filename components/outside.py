"""Which files an agent wrote outside of where it is to work."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence
from pathlib import Path

MOST = 20
"""How many are told."""


def of(written: Iterable[str], directory: Path, others: Sequence[str | Path] = ()) -> list[str]:
    """Return the first of the files that lie neither in a directory nor in the other ones, relative to it or absolute.

    Links are followed: a directory may have several names.
    """
    places = [os.path.realpath(directory / other) for other in ("", *others)]
    outside = [path for path in written if not any(Path(os.path.realpath(path)).is_relative_to(one) for one in places)]
    return outside[:MOST]
