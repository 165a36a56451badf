"""The dashboard in a real Chromium, for the length of a test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import Server

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
CHROMIUM = shutil.which("chromium")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; apt-get install chromium")
CALM = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 375, "height": 812}}
WAIT_MILLISECONDS = 20_000
Open = Callable[..., Any]


@contextmanager
def launched() -> Iterator[Any]:
    """Start a browser."""
    playwright.expect.set_options(timeout=WAIT_MILLISECONDS)
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=CALM)
        yield made
        made.close()


@contextmanager
def kept_pictures(config: pytest.Config) -> Iterator[Path]:
    """Give a directory for pictures, and say at the end where it is."""
    assert config.cache is not None
    directory = config.cache.mkdir("dashboard")
    yield directory
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\npictures of the dashboard: {directory}")


@contextmanager
def opening(browser: Any, server: Server) -> Iterator[Open]:
    """Open pages; none of them may have met an error of its own."""
    contexts, faults = [], []

    def open_one(path: str = "", size: str = "desktop", token: str | None = None, **more: Any) -> Any:
        context = browser.new_context(viewport=SIZES[size], **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(f"{server.url}/#/{path}")
        page.get_by_label("Token").fill(token or server.token())
        page.keyboard.press("Enter")
        settled(page)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not faults


def settled(page: Any) -> None:
    """Wait until a page shows what it has asked for."""
    playwright.expect(page.locator(".page:not([aria-busy])")).to_be_attached()
