"""Finding what is installed: the Claude CLI, the instructions of the team's roles, the default hooks."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components import process, text_file
from components.errors import AgentMissing, ConfigError
from components.states import Level, Role

PACKAGE = Path(__file__).parent
CLAUDE = "claude"
CODEX = "codex"
VERSION = re.compile(r"v?(\d+\.\d+\.\d+[\w.+-]*)(?=\s|$)")
CALLS_ITSELF_CLAUDE = re.compile(r"(?!<)[^<\x00-\x1f]*\bclaude\b", re.IGNORECASE)
VERSION_SECONDS = 30.0  # measured: 0.1 s with a cold cache; the rest is for a machine that swaps
PREFIX_LINE = re.compile(r"^\s*prefix\s*=\s*(.+?)\s*$", re.MULTILINE)
NPM_SYSTEM = ("usr/local/bin", "usr/bin", "usr/local/lib/node_modules/.bin", "usr/lib/node_modules/.bin")
HOMEBREW = ("opt/homebrew/bin", "usr/local/bin", "home/linuxbrew/.linuxbrew/bin")
TEAM_ROLES = (
    "team_roles",
    "agents/client/team_roles",
    "headless-pm/agents/client/team_roles",
    "agents/team_roles",
)
INSTALL = (
    "Install it with `pip install claude-agent-sdk` or `npm install -g @anthropic-ai/claude-code`, "
    "name it by HEADLESS_PM_CLAUDE_PATH, or set AGENT_COMMAND to use another program."
)


@dataclass(frozen=True, slots=True)
class RoleInstructions:
    """What a role is told before its task; `origin` is the file that says it."""

    text: str
    origin: Path


def find_claude(
    environ: Mapping[str, str],
    home: Path,
    configured: Path | None = None,
    *,
    directory: Path | None = None,
    root: Path = Path("/"),
) -> Path:
    """Return the first Claude CLI of `claude_places`; a configured one is not second-guessed.

    `home` is the user's home. `directory` (default: the current one) is where the search for a local npm installation
    starts; `root` is the root of the file system. Raises AgentMissing that says where it looked.
    """
    if configured is not None:
        if not _is_program(configured):
            raise AgentMissing(f"claude_path = {str(configured)!r} is not an executable file. {INSTALL}")
        return configured
    looked: dict[Path, str] = {}
    for path in claude_places(environ, home, directory or Path.cwd(), root):
        if _is_program(path):
            return path
        looked.setdefault(path, " (not an executable file)" if os.path.lexists(path) else "")
    places = "".join(f"\n  {path}{note}" for path, note in looked.items())
    raise AgentMissing(f"The Claude CLI is not installed. {INSTALL} Looked for:{places}")


def claude_places(environ: Mapping[str, str], home: Path, directory: Path, root: Path) -> Iterator[Path]:
    """Yield where a Claude CLI may be, the first choice first."""
    for entry in environ.get("PATH", "").split(os.pathsep):
        if entry:
            yield directory / entry / CLAUDE
    yield from (prefix / "bin" / CLAUDE for prefix in _npm_prefixes(environ, home))
    yield from (root / place / CLAUDE for place in NPM_SYSTEM)
    for parent in (directory, *directory.parents):
        yield parent / "node_modules" / ".bin" / CLAUDE
    yield home / ".claude" / "local" / CLAUDE
    yield home / ".local" / "bin" / CLAUDE
    yield from (root / place / CLAUDE for place in HOMEBREW)
    sdk = importlib.util.find_spec("claude_agent_sdk")  # finds without importing: the import takes 0.7 s
    if sdk is not None and sdk.origin is not None:
        yield Path(sdk.origin).parent / "_bundled" / CLAUDE


def _npm_prefixes(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Yield npm's global prefixes without running npm, which takes a second and may not be there."""
    for name in ("NPM_CONFIG_PREFIX", "npm_config_prefix"):
        if environ.get(name):
            yield Path(environ[name])
    try:
        match = PREFIX_LINE.search(text_file.read(home / ".npmrc").text)
    except (FileNotFoundError, text_file.Unreadable):
        match = None
    if match:
        written = match[1].strip("\"'").replace("${HOME}", str(home))
        yield home / written.removeprefix("~/")
    if environ.get("NVM_BIN"):
        yield Path(environ["NVM_BIN"]).parent
    yield home / ".npm-global"


def _is_program(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.X_OK)
    except OSError:
        return False


def find_command(argv: tuple[str, ...], path: str) -> None:
    """See that a program is there. Raises AgentMissing naming it and the setting."""
    if argv and shutil.which(argv[0], path=path) is None:
        raise AgentMissing(f"AGENT_COMMAND: there is no program {argv[0]!r}; install it, or correct agent_command")


def find_codex(configured: Path | None, path: str) -> Path:
    """Return the Codex CLI: the configured one, or the first on `path`. Raises AgentMissing."""
    if configured is not None:
        if not _is_program(configured):
            raise AgentMissing(f"codex_path = {str(configured)!r} is not an executable file; correct or remove it")
        return configured
    found = shutil.which(CODEX, path=path)
    if found is None:
        raise AgentMissing(
            "executor = codex: the Codex CLI is not installed; install it with `npm install -g @openai/codex`, or name"
            f" it by codex_path. Looked for it on PATH: {path}"
        )
    return Path(found)


def find_sdk(claude: Path | None) -> None:
    """See that the Claude Agent SDK is there, and the CLI that it is to use (None: its own). Raises AgentMissing."""
    if importlib.util.find_spec("claude_agent_sdk") is None:
        raise AgentMissing(
            "executor = claude_sdk: the Claude Agent SDK is not installed beside the runner; install it with"
            " `pip install claude-agent-sdk`"
        )
    if claude is not None and not _is_program(claude):
        raise AgentMissing(f"claude_path = {str(claude)!r} is not an executable file. {INSTALL}")


def claude_version(path: Path, environ: Mapping[str, str] | None = None, *, timeout: float = VERSION_SECONDS) -> str:
    """Return the version that a Claude CLI tells of itself, such as "2.1.329", or its line where that is no number.

    `environ` is what it sees (default: what we see); it gets `timeout` seconds. Raises AgentMissing with the reason
    when it cannot be started, hangs, fails or tells no version.
    """
    try:
        told = process.capture([str(path), "--version"], timeout=timeout, env=environ)
    except OSError as error:
        raise AgentMissing(f"{path} cannot be started ({error.strerror}). {INSTALL}") from error
    if told.timed_out:
        raise AgentMissing(f"{path} --version gave no answer within {timeout:g} s. {INSTALL}")
    if told.exit_code != 0:
        said = _first_line(told.stderr) or _first_line(told.stdout)
        raise AgentMissing(f"{path} --version failed with exit code {told.exit_code}: {said!r}. {INSTALL}")
    match = VERSION.match(_first_line(told.stdout))
    if match is None and CALLS_ITSELF_CLAUDE.match(said := _first_line(told.stdout)):
        return said
    if match is None:
        raise AgentMissing(f"{path} --version told no version but {_first_line(told.stdout)!r}. {INSTALL}")
    return match[1]


def _first_line(output: bytes) -> str:
    text = output[:4096].decode("utf-8", "replace").strip()
    return text.splitlines()[0][:200].rstrip() if text else ""


def find_team_roles(configured: Path | None, repository: Path, home: Path) -> Path | None:
    """Return the directory of the team's role instructions, or None where there is none.

    `home` is the runner's home. Raises ConfigError when a configured one is no directory.
    """
    if configured is not None:
        if not configured.is_dir():
            raise ConfigError(f"team_roles = {str(configured)!r}: there is no such directory; make it, or name another")
        return configured
    places = [*(repository / place for place in TEAM_ROLES), home / "team_roles"]
    return next((place for place in places if place.is_dir()), None)


def role_instructions(role: Role, level: Level, directory: Path | None) -> RoleInstructions:
    """Return the instructions of a role: the team's for the level, the team's for any level, else the built-in ones.

    Raises ConfigError when the file in force cannot be used (a link, a pipe, over 256 kB, not UTF-8, empty).
    """
    names = (f"{role}_{level}.md", f"{role}.md")
    theirs = [directory / name for name in names] if directory is not None else []
    for path in (*theirs, PACKAGE / "roles" / f"{role}.md"):
        try:
            text = text_file.read(path, follow=False).text.strip()
        except FileNotFoundError:
            continue
        except text_file.Unreadable as error:
            raise ConfigError(f"role instructions {path}: {error}") from error
        if not text:
            raise ConfigError(f"role instructions {path}: the file is empty; write into it, or remove it")
        return RoleInstructions(text, path)
    raise ConfigError(f"There are no instructions for the role {role}; write them to {names[1]} in team_roles")


def default_hooks_directory() -> Path:
    """Return where the hooks are that come with the runner: inside an installed package, or beside a checkout's.

    Raises ConfigError when the installation lacks them.
    """
    for place in (PACKAGE / "default_hooks", PACKAGE.parent / "hooks"):
        if place.is_dir():
            return place
    raise ConfigError("hooks_directory: the installation lacks its hooks; install it again, or name a directory")
