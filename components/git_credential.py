"""A token for one remote, told to git where nobody else hears it.

Git learns it from a credential helper of ours, which reads it from the environment of that one git process. The helper
answers for one origin only: a redirect to another host gets nothing. All other helpers are switched off before, so
that none of them stores it. It is never in an address, on a command line, in a file or in a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components import text_file
from components.errors import ConfigError
from components.git_url import RemoteUrl
from components.settings import API_KEY

USER, PASSWORD = "AGENT_RUNNER_GIT_USER", "AGENT_RUNNER_GIT_TOKEN"
DEFAULT_USER = "x-access-token"
HELPER = f'!f() {{ test "$1" = get && printf "username=%s\\npassword=%s\\n" "${USER}" "${PASSWORD}"; }}; f'


@dataclass(frozen=True, slots=True)
class Token:
    """A secret for a remote, with the user's name that goes with it; most servers take any name."""

    secret: str = field(repr=False)
    user: str = DEFAULT_USER


def environment(url: RemoteUrl, token: Token | None) -> dict[str, str]:
    """Return what the environment of a git that speaks to a remote has besides: which ways it may go, and the token."""
    settings = [
        ("http.followRedirects", "false" if url.is_pinned else "initial"),
        ("submodule.recurse", "false"),
        ("credential.helper", ""),
    ]
    if url.scheme in ("http", "https"):
        settings.append((f"credential.{url.origin}.helper", ""))
    given = {"GIT_ALLOW_PROTOCOL": "https" if url.scheme == "https" else f"{url.scheme}:https"}
    if token is not None and url.scheme in ("http", "https"):
        settings.append((f"credential.{url.origin}.helper", HELPER))
        given |= {USER: token.user, PASSWORD: token.secret}
    names = {f"GIT_CONFIG_KEY_{number}": name for number, (name, _) in enumerate(settings)}
    values = {f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in enumerate(settings)}
    return {**given, "GIT_CONFIG_COUNT": str(len(settings)), **names, **values}


def token_for(url: RemoteUrl, files: Mapping[str, str]) -> Token | None:
    """Return the token for a remote's host, None where none is configured; `files` maps hosts to private files.

    A file holds the token, or USER:TOKEN. Raises ConfigError with the remedy.
    """
    if url.host not in files or url.scheme == "ssh":
        return None
    path = Path(files[url.host]).expanduser()
    try:
        opened = text_file.read(path, limit=8192)
        user, _, secret = opened.text.strip().rpartition(":")
        if not opened.is_private:
            raise ValueError(f"other users may read it; run: chmod 600 {path}")
        if not secret or not API_KEY.from_text(secret):
            raise ValueError("it holds no token; write nothing but the token into it")
        return Token(API_KEY.from_text(secret), API_KEY.from_text(user) or DEFAULT_USER)
    except FileNotFoundError:
        raise ConfigError(f"git_tokens: {url.host}: there is no file {path}; make it (0600), or name another") from None
    except ValueError as error:
        raise ConfigError(f"git_tokens: {url.host}: file {path}: {error}") from None
