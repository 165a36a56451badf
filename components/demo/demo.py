"""The demonstration: a server, a repository that fails its tests, three tasks, and the daemon that does them."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components import discovery, durable
from components.demo import child, example
from components.demo.outcome import Filed, Outcome, measure
from components.demo.screen import Screen
from components.demo.script import load_scripts
from components.demo.scripted_model import ScriptedModel
from components.headless_pm.desk import Desk, Draft

LISTENING = "Headless PM listening on "
SERVER_SECONDS = 30.0
STOP_SECONDS = 30.0
# What one attempt of the live model may cost, and how many there are: so the whole demonstration has a bound.
LIVE_BUDGET_USD, LIVE_ATTEMPTS = 1.0, 1
NO_PROXY = "127.0.0.1,localhost"
FOREIGN = ("HEADLESS_PM_", "API_KEY", "AGENT_COMMAND", "AGENT_RUNNER_")
ACCOUNT = ("ANTHROPIC_", "CLAUDE_")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the demonstration keeps what."""

    directory: Path

    @property
    def repository(self) -> Path:
        return self.directory / "repository"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def key_file(self) -> Path:
        return self.directory / "pm.key"


class Demonstration:
    """One demonstration in an empty directory. `environ` is the user's environment."""

    def __init__(self, directory: Path, environ: Mapping[str, str], *, is_live: bool) -> None:
        self.places = Places(directory)
        self._is_live = is_live
        self._screen = Screen(is_live=is_live)
        self._claude = _find_claude(environ)
        self._environ = own_environment(environ, self.places, self._claude, is_live=is_live)

    def run(self) -> list[Outcome]:
        """Show it all, and return what became of the tasks. Whatever is started is ended, also by an exception."""
        version = discovery.claude_version(self._claude, self._environ)
        self._screen.begin(self._claude, version, self.places.directory)
        with self._model() as model, self._server() as url:
            filed = self._file(Desk(url, self.places.key_file.read_text().strip(), "demo_pm"))
            self._work({**self._environ, **model, "HEADLESS_PM_API_URL": url})
            statuses = self._statuses(Desk(url, self.places.key_file.read_text().strip(), "demo_pm"))
        outcomes = [
            measure(self.places.repository, self.places.home, one, statuses.get(one.task_id, ""), self._environ)
            for one in filed
        ]
        self._screen.end(outcomes)
        return outcomes

    def where_to_look(self, outcomes: list[Outcome]) -> None:
        """Tell how to go on from here."""
        self._screen.where_to_look(self.places.directory, self.places.repository, outcomes)

    @contextlib.contextmanager
    def _model(self) -> Iterator[dict[str, str]]:
        """Serve the scripted model, unless the live one is wanted; yields the environment that leads to it."""
        if self._is_live:
            yield {}
            return
        with ScriptedModel(load_scripts(example.SCRIPTS), log=self.places.directory / "model.jsonl") as model:
            self._screen.say(f"Scripted model listening on {model.url}")
            yield {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "sk-ant-scripted"}

    @contextlib.contextmanager
    def _server(self) -> Iterator[str]:
        """Serve a Headless PM; yields its address."""
        durable.create(self.places.key_file, f"{secrets.token_urlsafe(32)}\n".encode())
        log = self.places.directory / "pm.log"
        words = ["pm", "serve", "--port", "0", "--db", str(self.places.directory / "pm.db")]
        words += ["--api-key-file", str(self.places.key_file)]
        with child.runner(words, env=self._environ, cwd=self.places.directory, output=log) as server:
            url = child.wait_for_line(LISTENING, log, server, timeout=SERVER_SECONDS)
            self._screen.say(f"{LISTENING}{url}")
            yield url

    def _file(self, desk: Desk) -> list[Filed]:
        """Make the repository and file its tasks."""
        repository = self.places.repository
        first = example.make_repository(durable.make_directory(repository))
        filed = []
        for one in example.assignments():
            before = example.run_tests(repository, one.tests, self._environ)
            draft = Draft(
                one.title, one.description, level=one.difficulty, complexity=one.complexity, branch=one.branch,
                feature="tinybank", epic="Demonstration",
            )  # fmt: skip
            task_id = int(desk.add(draft)["id"])
            self._screen.say(f"Task {task_id} ({one.difficulty}, {one.complexity}): {one.title}; {before} tests pass")
            filed.append(Filed(task_id, one, first, before))
        return filed

    def _work(self, environ: Mapping[str, str]) -> None:
        """Run the daemon on the tasks until it has been through them."""
        number = str(len(example.assignments()))
        words = ["run", "--role", "backend_dev", "--agent-id", "demo_dev", "--level", "principal"]
        words += ["--repo", str(self.places.repository), "--max-tasks", number]
        words += ["--poll-interval", "0.5", "--idle-timeout", "5", "--on-term", "stop"]
        self._screen.rule("the runner")
        sys.stdout.flush()
        begun = time.monotonic()
        with child.runner(words, env=environ, cwd=self.places.directory, patience=STOP_SECONDS) as daemon:
            code = daemon.wait()
        self._screen.rule(f"the runner ended with {code} after {time.monotonic() - begun:.1f} s")

    def _statuses(self, desk: Desk) -> dict[int, str]:
        return {int(task["id"]): str(task["status"]) for task in desk.tasks()}


def own_environment(environ: Mapping[str, str], places: Places, claude: Path, *, is_live: bool) -> dict[str, str]:
    """Return the environment of what is started: the user's, but with none of their runner's settings.

    Scripted, their account and their model settings are left out as well, and the Claude CLI keeps to a directory of
    its own. Python's directory comes first on the PATH: the agent runs the tests by `python3`.
    """
    dropped = FOREIGN if is_live else (*FOREIGN, *ACCOUNT)
    kept = {name: value for name, value in environ.items() if not name.startswith(dropped)}
    known = kept.get("no_proxy") or kept.get("NO_PROXY")
    no_proxy = ",".join(filter(None, [known, NO_PROXY]))
    added = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "HEADLESS_PM_HOME": str(durable.make_directory(places.home)),
        "HEADLESS_PM_API_KEY_FILE": str(places.key_file),
        "HEADLESS_PM_CLAUDE_PATH": str(claude),
        "no_proxy": no_proxy,
        "NO_PROXY": no_proxy,
    }
    if is_live:
        added |= {
            "HEADLESS_PM_MAX_BUDGET_USD": f"{LIVE_BUDGET_USD:g}",
            "HEADLESS_PM_MAX_ATTEMPTS": str(LIVE_ATTEMPTS),
        }
    else:
        added |= {"CLAUDE_CONFIG_DIR": str(durable.make_directory(places.directory / "claude"))}
    return {**kept, **added}


def _find_claude(environ: Mapping[str, str]) -> Path:
    configured = environ.get("HEADLESS_PM_CLAUDE_PATH")
    return discovery.find_claude(environ, Path(environ.get("HOME", "/")), Path(configured) if configured else None)
