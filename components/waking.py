"""Has processes go on that somebody has stopped."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def wake(pid: int) -> bool:
    """Have a process go on; False for one that nobody has stopped, that is gone, or that is not ours."""
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(pid)  # pins the number: what is looked at is what the signal reaches
        try:
            if is_stopped(pid):
                signal.pidfd_send_signal(fd, signal.SIGCONT)
                return True
        finally:
            os.close(fd)
    return False


def is_stopped(pid: int) -> bool:
    """Has somebody stopped a process, by SIGSTOP or at a terminal? One that is gone is not."""
    with contextlib.suppress(OSError):
        text = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
        return text[text.rindex(")") + 2] == "T"
    return False
