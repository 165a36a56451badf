"""Processes: the only module, with the shim, that starts any."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from components import cgroup, durable
from components.killing import COOKIE, SWEEP_SECONDS, kill_marked, kill_tree, sweep
from components.model import Captured, ProcessId
from components.run_directory import RunDirectory, RunState

SHIM = Path(__file__).with_name("shim.py")
OUTPUT_LIMIT = 1 << 20
POLL_SECONDS = 0.5


def capture(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    is_too_much: Callable[[], bool] | None = None,
) -> Captured:
    """Run a helper program in a session of its own and return what it printed (the first MB of each stream).

    Its end is the end of the process, not of its output: a child left in the background that holds the output open
    is not waited for. After `timeout` seconds, or 16 MB of output, everything it started is killed; `is_too_much`
    is asked at every look (POLL_SECONDS), and True ends it too.
    Raises OSError when the program cannot be started.
    """
    import tempfile  # it takes 4 ms to load: as much as all else here

    cookie = uuid.uuid4().hex
    environment = {**(os.environ if env is None else env), COOKIE: cookie}
    started = time.monotonic()
    with contextlib.ExitStack() as files:
        out, err = (files.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        given: IO[bytes] | int = subprocess.DEVNULL
        if stdin:
            given = files.enter_context(tempfile.TemporaryFile())
            given.write(stdin)
            given.seek(0)
        child = subprocess.Popen(
            argv,
            stdin=given,
            stdout=out,
            stderr=err,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        ended = _wait_within(child, started + timeout, (out.fileno(), err.fileno()), is_too_much)
        if not ended:
            kill_marked(child, cookie)
        return Captured(
            child.returncode if ended else None,
            _beginning(out),
            _beginning(err),
            time.monotonic() - started,
            timed_out=not ended,
        )


def _beginning(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read(OUTPUT_LIMIT)


def _wait_within(
    child: subprocess.Popen[bytes], deadline: float, outputs: Sequence[int], is_too_much: Callable[[], bool] | None
) -> bool:
    """Wait for the child; False when the deadline (monotonic seconds), the output limit or too much came first."""
    fd = os.pidfd_open(child.pid)
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            if poller.poll(max(0.0, min(left, POLL_SECONDS)) * 1000):
                child.wait()
                return True
            if left <= 0 or any(os.fstat(output).st_size > 16 * OUTPUT_LIMIT for output in outputs):
                return False
            if is_too_much is not None and is_too_much():
                return False
    finally:
        os.close(fd)


def start(run: RunDirectory, env: Mapping[str, str], inherit: Sequence[int] = ()) -> bool:
    """Start the shim of a prepared run, which starts the agent; False when one is there already.

    The shim lives in a session of its own and outlives us. It and the agent inherit the lock on `alive`, and the
    descriptors in `inherit`: locks that must be held as long as either of them lives.
    """
    alive = durable.try_lock(run.path / "alive")
    if alive is None:
        return False
    environment = {**env, COOKIE: run.name, "TMPDIR": str(run.temporary)}
    devnull = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    try:
        for fd in (alive, *inherit):
            os.set_inheritable(fd, True)
        leaf = cgroup.make(run.name)
        run.note_cgroup(leaf)
        argv = [sys.executable, "-I", "-S", "-B", str(SHIM), str(run.path), *run.shim_words(leaf)]
        os.posix_spawn(sys.executable, argv, environment, file_actions=devnull, setsid=True)
    finally:
        for fd in inherit:
            os.set_inheritable(fd, False)
        os.close(alive)
    return True


def start_detached(argv: Sequence[str], alive: Path, log: Path, env: Mapping[str, str]) -> int:
    """Start a program of ours in a session of its own, that outlives us and every terminal; return its process id.

    It holds the lock on `alive` from birth: the descriptor's number is its last argument, and it must not pass it on.
    Its output is appended to `log`. Raises OSError, also when the lock is held.
    """
    lock = durable.try_lock(alive)
    if lock is None:
        raise OSError(errno.EBUSY, "another process holds it", str(alive))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, durable.FILE_MODE),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        os.set_inheritable(lock, True)
        return os.posix_spawn(argv[0], [*argv, str(lock)], dict(env), file_actions=actions, setsid=True)
    finally:
        os.close(lock)


def end_of(run: RunDirectory) -> int | None:
    """Return a descriptor that becomes readable when the run's shim, or the agent it left behind, ends.

    None while no such process can be named; the caller closes the descriptor.
    """
    pids = run.pids()
    for who in ("shim", "agent"):
        fd = handle_of(pids[who]) if who in pids else None
        if fd is not None:
            return fd
    return None


def handle_of(process: ProcessId) -> int | None:
    """Return a pidfd of exactly this process, or None when it has ended or cannot be judged from here.

    A shim that was killed stays our zombie: its descriptor would be readable for ever, and take signals in vain.
    """
    if not _is_of_here(process):
        return None
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    with contextlib.suppress(OSError, ValueError):
        # The number was pinned by the descriptor first, so what is compared now is what a signal would reach.
        if start_ticks(process.pid) == process.start_ticks and not _has_ended(fd):
            return fd
    os.close(fd)
    return None


def _is_of_here(process: ProcessId) -> bool:
    """Is its number one of this boot and of this process namespace?"""
    return (process.boot_id, process.pid_namespace) == (boot_id(), Path("/proc/self/ns/pid").stat().st_ino)


def lives(run: RunDirectory, who: str) -> bool:
    """Whether the run's `shim`, or its `agent`, is at work: by its identity, whatever it did to the run's locks."""
    pids = run.pids()
    fd = handle_of(pids[who]) if who in pids else None
    if fd is not None:
        os.close(fd)
    return fd is not None


def has_left_others(run: RunDirectory) -> bool:
    """Have both shim and agent ended, of a run that something which they started still holds?

    False too where that cannot be judged: before they are known, and from another process namespace than theirs.
    """
    pids = run.pids()
    return bool(pids) and all(map(_is_of_here, pids.values())) and not (lives(run, "shim") or lives(run, "agent"))


def _has_ended(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


def stop(run: RunDirectory, *, now: bool = False) -> None:
    """Ask the shim to end the agent (SIGTERM, grace, SIGKILL of the tree), or to kill it now.

    Where no shim is left, the agent and all that carries the run's cookie are killed by us. A shim that somebody has
    stopped goes on, or it would never hear of it.
    """
    pids = run.pids()
    fd = handle_of(pids["shim"]) if "shim" in pids else None
    if fd is None:
        clear(run)
        return
    try:
        signal.pidfd_send_signal(fd, signal.SIGUSR1 if now else signal.SIGTERM)
        signal.pidfd_send_signal(fd, signal.SIGCONT)
    except ProcessLookupError:
        clear(run)
    finally:
        os.close(fd)


def clear(run: RunDirectory) -> bool:
    """Kill all that a run without a shim left; True when none is left.

    That is its cgroup, its agent with the tree below it, and whatever carries its cookie: an agent that cleared its
    environment and closed what it inherited is known by its identity alone. What forks without pause may slip through
    the looks, but it holds the lock on `alive` that it was forked with.
    """
    deadline = time.monotonic() + SWEEP_SECONDS
    is_clear = False
    while not is_clear and time.monotonic() < deadline:
        cgroup.kill(run.cgroup)
        _kill_agent(run)
        is_clear = sweep(run.name) and not lives(run, "agent") and run.state() is not RunState.ALIVE
    cgroup.remove(run.cgroup)
    return is_clear


def _kill_agent(run: RunDirectory) -> None:
    agent = run.pids().get("agent")
    fd = handle_of(agent) if agent else None
    if agent is not None and fd is not None:
        kill_tree(agent.pid, fd)
        os.close(fd)


def collect(run: RunDirectory) -> None:
    """Collect the run's ended shim if it is our child, so that it does not stay a zombie, and its cgroup."""
    pids = run.pids()
    if "shim" in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pids["shim"].pid, os.WNOHANG)
    cgroup.remove(run.cgroup)


def boot_id() -> str:
    """Return the kernel's name for this boot: a process id of another boot is void."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (field 22 of its stat: it never moves)."""
    text = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    return int(text[text.rindex(")") + 2 :].split()[19])
