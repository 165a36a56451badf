"""The parent of one agent: it outlives the daemon, holds the agent's limits and writes down how the agent ended.

Run as `python -I -S -B shim.py RUN_DIRECTORY TIMEOUT GRACE LEASH OUTPUT_BYTES CGROUP CWD ARGV...` (times in seconds)
in a session of its own, with the agent's environment. The daemon made and synced the run directory before: `prompt`,
empty `out` and `err`, `exit` (PENDING, 256 bytes) and `alive`, whose lock this process and the agent inherit. It
imports little, because it is started for every attempt: `json` and `typing` alone would double its cost. Rules:

* `exit` is opened before the fork, and rewritten in place: a later lack of descriptors or of disk cannot lose it.
* The agent may not exec before `pids` is on the disk: no `pids` proves that it never ran.
* Signals are blocked and taken by sigtimedwait: a handler that sets a flag does not end a wait (PEP 475).
* The agent may do what it likes to the files: its output is measured by descriptors of ours.
* The agent's work is on the disk before the record that vouches for it: a power cut leaves both or no record.
* The record is written first, then the agent's leftovers are killed until there are none, then it is written again.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
RECORD_BYTES = 256
LONGEST_GRACE_SECONDS = 2_592_000.0
TICK_SECONDS = 1.0
REAP_SECONDS = 30.0
SUSPEND_ALLOWANCE_SECONDS = 86400.0
WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}


def main() -> None:
    os.chdir(sys.argv[1])
    os.umask(0o077)
    is_subreaper = ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    exit_fd = os.open("exit", os.O_WRONLY | os.O_CLOEXEC)
    agent = Agent([float(word) for word in sys.argv[2:6]], sys.argv[6], sys.argv[7], sys.argv[8:])
    agent.fork()
    end = agent.watch()
    sync_work(agent.cwd)
    record(exit_fd, {"state": "EXITED", **end})
    kill_cgroup(agent.cgroup)
    killed, clean = reap(REAP_SECONDS) if is_subreaper else (0, True)
    remove_cgroup(agent.cgroup)
    record(exit_fd, {"state": "CLEAN" if clean else "DIRTY", "killed": killed, **end})


class Agent:
    """The agent's process and its limits, all in seconds and bytes."""

    def __init__(self, limits: list[float], cgroup: str, cwd: str, argv: list[str]) -> None:
        self.timeout, self.grace, self.leash, self.output_bytes = limits
        self.cgroup = cgroup
        self.cwd = cwd
        self.argv = argv
        self.outputs = [os.open(name, os.O_RDONLY | os.O_CLOEXEC) for name in ("out", "err")]
        self.started = time.monotonic()
        self.started_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.last_watched = self.started_boot
        self.why: str | None = None
        self.kill_at: float | None = None
        self.status: int | None = None
        self.cpu_seconds = 0.0
        self.rss_kilobytes = 0

    def fork(self) -> None:
        """Fork the agent, make its identity durable, and only then let it exec.

        An error ends the shim, and with it the agent, which has not run yet: without `pids` it is started again.
        """
        go_read, go_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(go_write)
            self._exec(go_read)
        os.close(go_read)
        write_pids(self.pid)
        os.write(go_write, b"g")
        os.close(go_write)

    def _exec(self, go_read: int) -> None:
        try:
            os.setsid()
            if os.read(go_read, 1) != b"g":
                os._exit(125)
            for number, (name, flags) in enumerate(
                [("prompt", os.O_RDONLY), ("out", os.O_WRONLY | os.O_APPEND), ("err", os.O_WRONLY | os.O_APPEND)]
            ):
                os.dup2(os.open(name, flags), number)
            write_quietly("/proc/self/oom_score_adj", "500")
            if self.cgroup:
                write_quietly(self.cgroup + "/cgroup.procs", "0")
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            os.chdir(self.cwd)
            os.execvpe(self.argv[0], self.argv, os.environ)
        except BaseException as error:
            os.write(2, f"agent-runner: the agent could not be started: {error}\n".encode())
        os._exit(127)

    def watch(self) -> dict[str, object]:
        """Wait for the agent's end, by itself or at a limit; return what is known of it."""
        while self.status is None:
            taken = signal.sigtimedwait(WATCHED, TICK_SECONDS)
            if taken is not None and taken.si_signo != signal.SIGCHLD:
                self._stop("kill" if taken.si_signo == signal.SIGUSR1 else "stop")
            elif self.why is None:
                self._check_limits()
            if self.kill_at is not None and time.monotonic() >= self.kill_at:
                self._signal(signal.SIGKILL)
            self._collect()
        exited = os.WIFEXITED(self.status)
        return {
            "exit_code": os.WEXITSTATUS(self.status) if exited else None,
            "signal": None if exited else os.WTERMSIG(self.status),
            "why": self.why,
            "cpu_seconds": self.cpu_seconds,
            "rss_kilobytes": self.rss_kilobytes,
            "seconds": round(time.monotonic() - self.started, 3),
        }

    def _check_limits(self) -> None:
        now = time.monotonic()
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        suspended = boot - self.started_boot > self.timeout + SUSPEND_ALLOWANCE_SECONDS
        if now - self.started > self.timeout or suspended:
            self._stop("timeout")
        elif sum(os.fstat(output).st_size for output in self.outputs) > self.output_bytes:
            self._stop("output")
        elif is_watched():
            self.last_watched = boot
        elif boot - self.last_watched > self.leash:
            self._stop("leash")

    def _stop(self, why: str) -> None:
        """Ask the agent to end, once; the end of the grace, or a request to kill, kills it."""
        if why == "kill":
            self.kill_at = time.monotonic()
        elif self.why is None:
            self.kill_at = time.monotonic() + asked_grace(self.grace)
            self._signal(signal.SIGTERM)
        self.why = self.why or why

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def _collect(self) -> None:
        """Reap every child that ended; orphans of the agent come to us as to the subreaper."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status
                self.cpu_seconds = round(usage.ru_utime + usage.ru_stime, 2)
                self.rss_kilobytes = usage.ru_maxrss


def asked_grace(usual: float) -> float:
    """Return how many seconds lie between asking and killing: those that whoever cancels left in `grace`, or usual."""
    try:
        with open("grace", encoding="ascii") as file:
            asked = float(file.read(32))
    except (OSError, ValueError):
        return usual
    return asked if 0 <= asked <= LONGEST_GRACE_SECONDS else usual


def is_watched() -> bool:
    """Tell whether a daemon looks after this run: it holds the lock on `watched` as long as it does."""
    try:
        fd = os.open("watched", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def write_quietly(path: str, text: str) -> None:
    """Tell the kernel something that it may refuse: the agent's place in the queue of the OOM killer, its cgroup."""
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError:
        pass


def sync_work(cwd: str) -> None:
    """Commit what the agent has written: its output here, its files in `cwd`, its commits in the git directory."""
    places = [".", cwd]
    try:
        with open(cwd + "/.git", encoding="utf-8", errors="surrogateescape") as link:
            places.append(os.path.join(cwd, link.read().strip().removeprefix("gitdir: ")))
    except OSError:
        pass
    for place in places:
        try:
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        ctypes.CDLL(None).syncfs(fd)
        os.close(fd)


def kill_cgroup(path: str) -> None:
    """Kill at one stroke what is left in the agent's cgroup, if it has one."""
    if path:
        write_quietly(path + "/cgroup.kill", "1")


def remove_cgroup(path: str) -> None:
    """Remove the agent's cgroup, which is empty by now."""
    if path:
        try:
            os.rmdir(path)
        except OSError:
            pass


def start_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot: field 22 of its stat."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        text = file.read()
    return int(text[text.rindex(")") + 2 :].split()[19])


def write_pids(agent_pid: int) -> None:
    """Make the identities of shim and agent durable."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    identity: dict[str, object] = {
        "shim": [os.getpid(), start_ticks(os.getpid())],
        "agent": [agent_pid, start_ticks(agent_pid)],
        "boot_id": boot_id,
        "pid_namespace": os.stat("/proc/self/ns/pid").st_ino,
    }
    fd = os.open("pids.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(fd, json_text(identity).encode())
    os.fsync(fd)
    os.close(fd)
    os.rename("pids.tmp", "pids")
    directory = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    os.fsync(directory)
    os.close(directory)


def record(exit_fd: int, end: dict[str, object]) -> None:
    """Write the exit record in place; no error ends the attempts, for this is the only copy of the truth."""
    text = json_text(end).encode()[: RECORD_BYTES - 1].ljust(RECORD_BYTES - 1) + b"\n"
    while True:
        try:
            os.pwrite(exit_fd, text, 0)
            os.fsync(exit_fd)
            return
        except OSError:
            time.sleep(1)


def json_text(value: object) -> str:
    """Return our own words and numbers as JSON."""
    if isinstance(value, dict):
        return "{" + ",".join(f'"{key}":{json_text(inner)}' for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_text(inner) for inner in value) + "]"
    if value is None:
        return "null"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def reap(seconds: float) -> tuple[int, bool]:
    """Kill every descendant until none is left; return how many signals it took and whether it is done."""
    killed, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return killed, True
        if pid:
            continue
        for descendant in descendants(os.getpid()):
            try:
                os.kill(descendant, signal.SIGKILL)
                killed += 1
            except (ProcessLookupError, PermissionError):
                pass
        time.sleep(0.001)
    return killed, False


def descendants(pid: int) -> list[int]:
    """Return the live descendants of a process, parents before their children."""
    found: list[int] = []
    unread = [pid]
    while unread:
        parent = unread.pop()
        try:
            threads = os.listdir(f"/proc/{parent}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as file:
                    children = [int(word) for word in file.read().split()]
            except OSError:
                continue
            found += children
            unread += children
    return found


if __name__ == "__main__":
    main()
