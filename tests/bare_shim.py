"""A shim started as the runner starts it, but by the test: without a cgroup, and under a tracer where one is wanted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

from components import durable
from components.killing import COOKIE
from components.process import SHIM
from components.run_directory import RunDirectory


def start(run: RunDirectory, env: Mapping[str, str], tracer: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start the shim of a prepared run; it and the agent inherit the lock on `alive`."""
    alive = durable.try_lock(run.path / "alive")
    assert alive is not None, "there is one already"
    words = [sys.executable, "-I", "-S", "-B", str(SHIM), str(run.path), *run.shim_words(None)]
    with open(alive, "rb"):
        return subprocess.Popen(
            [*tracer, *words],
            env={**env, COOKIE: run.name, "TMPDIR": str(run.temporary)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(alive,),
            start_new_session=True,
        )
