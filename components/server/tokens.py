"""The tokens of the service: one that may do everything, one that may only read, each in a private file."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from components import api_key, durable
from components.config import Config
from components.errors import ConfigError

DIGEST_LETTERS = 8
FEWEST_LETTERS = 32
"""How long a token must be: as 32 hexadecimal digits it has 128 bits."""


class Right(StrEnum):
    """What a token allows."""

    FULL = "full"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `name` tells one token from another in the audit, and nothing else of it."""

    right: Right
    name: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens in force, as digests; with none of them everybody may do everything."""

    digests: tuple[tuple[Right, bytes], ...]

    def caller(self, given: str) -> Caller | None:
        """Return who has this token, None for nobody. It takes as long whatever is given."""
        if not self.digests:
            return Caller(Right.FULL, "nobody")
        digest = _digest(given)
        found = [right for right, known in self.digests if hmac.compare_digest(digest, known)]
        return Caller(found[0], f"{found[0]}:{digest.hex()[:DIGEST_LETTERS]}") if found else None


def paths(config: Config) -> dict[Right, Path]:
    """Return the files of the tokens."""
    return {
        Right.FULL: config.token_file or config.home / "serve.token",
        Right.READ: config.read_token_file or config.home / "serve.read-token",
    }


def make(config: Config) -> dict[Right, str]:
    """Make the tokens that are not there yet, and return those that were made. Raises OSError."""
    made = {}
    for right, path in paths(config).items():
        if not path.exists():
            durable.make_directory(path.parent)
            made[right] = secrets.token_urlsafe(32)
            durable.write(path, f"{made[right]}\n".encode())
    return made


def load(config: Config) -> Tokens:
    """Return the tokens of the files. Raises ConfigError naming the file and what to do."""
    found: dict[Right, bytes] = {}
    for right, path in paths(config).items():
        try:
            token = api_key.in_file(path).key
        except ValueError as error:
            raise ConfigError(f"the token file {path}: {error}") from error
        if len(token) < FEWEST_LETTERS:
            raise ConfigError(
                f"the token file {path}: a token of {len(token)} characters can be guessed; put {FEWEST_LETTERS} random"
                " ones or more there, or delete the file, and `serve --make-tokens` makes one"
            )
        if _digest(token) in found.values():
            raise ConfigError(
                f"the token file {path}: its token is also the full one, so nobody could be let read only; put another"
                " one there, or delete the file, and `serve --make-tokens` makes one"
            )
        found[right] = _digest(token)
    return Tokens(tuple(found.items()))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
