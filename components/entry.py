"""Where the program begins: signals wait until what handles them is loaded.

Loading takes a few tenths of a second. A SIGHUP or SIGUSR1 would end the runner in that time, and a SIGTERM would look
like a failure.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

LASTING = frozenset({"run", "execute"})
"""The commands that take signals over; every other one is ended by them as any program is."""
OF_ALL_COMMANDS = frozenset({"-h", "--help", "--version"})


def main() -> int:
    """Run the command line and return its exit code."""
    gc.disable()  # what is loaded is no garbage: `Commands.get_command` switches it on again
    if is_lasting(sys.argv[1:]):
        from components.signals import Signals

        Signals.hold_back()
    from components.cli import main as command_line

    return command_line()


def is_lasting(words: Sequence[str]) -> bool:
    """Whether a command line is that of a runner; options without a command are those of `run`."""
    first = words[0] if words else ""
    return first in LASTING or (first.startswith("-") and first not in OF_ALL_COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
