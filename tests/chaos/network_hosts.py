"""Hosts of a network on one machine: network namespaces, each with a cable of its own that can be pulled."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

NET = "10.213"


@dataclass(frozen=True)
class Host:
    """One host. It sees nothing but `gateway`, the machine that the test runs on."""

    name: str
    cable: str
    gateway: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command begins with that runs there."""
        return ("ip", "netns", "exec", self.name)

    def pull_the_cable(self) -> None:
        """Cut it off: what it sends is dropped without a word."""
        ip("link", "set", self.cable, "down")

    def plug_in(self) -> None:
        ip("link", "set", self.cable, "up")


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many hosts; skipped where namespaces cannot be made."""
    if os.getuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and the program ip")
    tag = uuid.uuid4().hex[:4]
    made: list[Host] = []
    try:
        for number in range(count):
            net = f"{NET}.{(os.getpid() * count + number) % 250}"
            host = Host(f"aar{tag}{number}", f"aar{tag}{number}", f"{net}.1")
            try:
                ip("netns", "add", host.name)
            except AssertionError as error:
                pytest.skip(f"no network namespaces here: {error}")
            made.append(host)
            ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            ip("addr", "add", f"{net}.1/24", "dev", host.cable)
            ip("link", "set", host.cable, "up")
            for words in (["addr", "add", f"{net}.2/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
                ip("-n", host.name, *words)
            ip("-n", host.name, "link", "set", "lo", "up")
        yield made
    finally:
        for host in made:
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)
            subprocess.run(["ip", "link", "del", host.cable], capture_output=True, check=False)


@contextlib.contextmanager
def passed_on(addresses: list[str], port: int) -> Iterator[int]:
    """Pass connections to a port of these addresses on to the same port of the loopback."""
    listeners = []
    for address in addresses:
        listener = socket.create_server((address, port))
        listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, port), daemon=True).start()
    try:
        yield port
    finally:
        for listener in listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def _accept(listener: socket.socket, port: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            client.close()
            continue
        server.settimeout(None)
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    one.close()
