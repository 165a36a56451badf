"""The power fails: what was not on the disk is gone, what was is believed.

Home and repository lie on a file system of their own (ext4 on a loop device) that is shut down without writing its
log, as a power cut would; ledger and server stay outside.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.judge import AT_WORK, BOUNDARIES, FULL, Drill, cells, mounted, unmount

MakeDrill = Callable[..., Drill]
EXT4_IOC_SHUTDOWN = 0x8004587D  # linux: fs/ext4/ext4.h
WITHOUT_LOG_FLUSH = 2
SOME = (
    *("claim.locked", "after.CLAIMED", "acted.PREPARING", "spawn.started"),
    *("acted.RUNNING", "report.moved", "acted.CLEANING"),
)
CHOSEN = BOUNDARIES if FULL else SOME
WRITES = range(12) if FULL else (0, 6, 11)
"""Which of the durable writes of a task (journal, marks of the worktree, result) the power is cut in."""


class Disk:
    """A file system on a loop device whose power can be cut."""

    def __init__(self, image: Path, mount: Path) -> None:
        self.image = image
        self.mount = mount

    def power_off(self) -> None:
        """From now on nothing reaches the disk, not even what the kernel had promised to write later."""
        fd = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        finally:
            os.close(fd)

    def power_on(self) -> None:
        """Mount what is on the disk."""
        unmount(self.mount)
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self.mount)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("needs root and loop mounts")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    try:
        with mounted(tmp_path / "disk", "-o", "loop", str(image)) as mount:
            yield Disk(image, mount)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs root and loop mounts: {error.stderr.decode(errors='replace').strip()}")


def cut(disk: Disk, one: Drill, fault: str) -> None:
    """Cut the power when a fault point is reached, and give it back."""
    os.sync()
    daemon = one.daemon_stopped_at(fault)
    disk.power_off()
    one.kill_all(daemon)
    disk.power_on()


@pytest.mark.parametrize(("boundary", "kind"), cells(CHOSEN))
def test_a_power_cut_loses_no_task_and_no_work(drill: MakeDrill, disk: Disk, boundary: str, kind: str) -> None:
    one = drill(kind, place=disk.mount)
    if boundary not in AT_WORK:
        one.open_gate()
    cut(disk, one, boundary)

    one.finish()

    one.judge(2 if boundary in AT_WORK else 1)


@pytest.mark.parametrize("number", WRITES)
def test_a_power_cut_between_a_rename_and_its_sync_loses_no_task_and_no_work(
    drill: MakeDrill, disk: Disk, number: int
) -> None:
    one = drill(place=disk.mount)
    one.open_gate()
    cut(disk, one, f"durable.renamed:{number}*off")

    one.finish()

    one.judge(1, 2)
