"""Takes secrets, terminal escapes and excess length out of text that is about to be shown or kept.

All patterns take time linear in the text, whatever the text is: a run of characters is consumed without giving any
back (possessive), or its length is bounded, or only one place in it can start a match.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

SECRET = "[secret]"  # noqa: S105
SHORTEST_SECRET = 6
SHORTEST_SECRET_LINE = 16
ELLIPSIS = "…"

TOKENS = re.compile(
    r"""
    (?P<kept> \b(?i:bearer|authorization:[ ]basic)[ \t]{1,8} (?=[\w.~+/=-]{8}) ) [\w.~+/=-]++
    | (?P<before> ://[^\s/@:"'<>]{0,256}+: ) [^\s/@"'<>]{1,512}+ (?=@)
    | sk-ant-[\w-]{8,}+
    | sk-(?:proj|svcacct|admin)-[\w-]{16,}+
    | (?<![\w-])sk-[A-Za-z0-9]{32,}+
    | gh[opsur]_[A-Za-z0-9]{16,}+
    | github_pat_\w{16,}+
    | glpat-[\w-]{16,}+
    | xox[abeoprs]-[\w-]{8,}+
    | (?<![A-Z0-9])A(?:KI|SI)A[A-Z0-9]{16}
    | (?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+
    | -----BEGIN\ [A-Z ]{0,40}PRIVATE\ KEY-----
      (?: [\w+/=:,.\\\s]++ | -(?!-) )*+
      (?: -----END\ [A-Z ]{0,40}PRIVATE\ KEY----- )?
    """,
    re.VERBOSE | re.ASCII,
)
"""Tokens known by their look: Anthropic, OpenAI, GitHub, GitLab, Slack, AWS, JWT; credentials in headers and URLs;
private keys, of which a torn one counts as whole."""

ESCAPES = re.compile(
    r"""
      (?: \x1b\[ | \x9b ) [0-?]*+ [ -/]*+ [@-~]?
    | (?: \x1b[]PX^_] | [\x90\x98\x9d-\x9f] ) [^\x00-\x1f\x7f-\x9f]*+ (?: \x07 | \x1b\\ | \x9c )
    | \x1b [ -/]*+ [0-~]?
    | [\x00-\x08\x0b-\x1f\x7f-\x9f]
    | [\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]
    | [\U000e0000-\U000e007f]
    """,
    re.VERBOSE,
)
"""ECMA-48 control sequences (CSI), control strings (OSC, DCS, ...), other escapes, C0 and C1 but for newline and tab;
marks that reverse the order of text; invisible tag characters, which a model reads and a person does not see."""

LONE_SURROGATES = re.compile("[\ud800-\udfff]")


SECRET_NAME = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)$", re.IGNORECASE)


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """Return the values of the environment variables whose names say that they are secret."""
    return [value for name, value in environ.items() if SECRET_NAME.search(name)]


class Redactor:
    """Replaces known secrets, in the forms in which they travel, and tokens known by their look.

    Secrets under 6 characters are let be: they would take ordinary words with them.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if len(secret) >= SHORTEST_SECRET for form in _forms(secret)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        if self._known:
            text = self._known.sub(SECRET, text)
        return TOKENS.sub(_keep_what_introduces, text)

    def knows(self, text: str) -> bool:
        """Does the text hold one of the secrets themselves? What only looks like one does not count."""
        return self._known is not None and self._known.search(text) is not None


def plain(text: str) -> str:
    """Return the text without anything that a terminal would act upon; newlines and tabs stay.

    To be done before secrets are looked for: an escape within a secret would hide it.
    """
    return LONE_SURROGATES.sub("\ufffd", ESCAPES.sub("", text))


def within(value: Any, redact: Callable[[str], str]) -> Any:
    """Return JSON with every text in it redacted, names of keys excepted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(name): within(inner, redact) for name, inner in value.items()}
    return [within(inner, redact) for inner in value] if isinstance(value, list | tuple) else value


def shorten(text: str, limit: int) -> str:
    """Return the text cut to at most `limit` characters; the last one tells that it was cut."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + ELLIPSIS


def _keep_what_introduces(found: re.Match[str]) -> str:
    return (found["kept"] or found["before"] or "") + SECRET


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it may be met: as it is, line by line, in a URL, in JSON, in base64."""
    yield secret
    yield from (line for line in secret.splitlines() if len(line) >= SHORTEST_SECRET_LINE)
    yield quote(secret, safe="", errors="replace")
    yield quote_plus(secret, errors="replace")
    yield json.dumps(secret)[1:-1]
    yield from _base64_forms(secret.encode(errors="replace"))


def _base64_forms(secret: bytes) -> Iterator[str]:
    """Yield base64 of a secret, whole and as part of something longer (`user:secret`), in both alphabets.

    Within something longer it starts at any of three places of a group of 24 bits; the characters that it shares with
    its neighbours are left off.
    """
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret).decode()
        yield encode(secret).decode().rstrip("=")
        for offset in range(3):
            characters = encode(bytes(offset) + secret).decode()
            first = -(-offset * 8 // 6)
            yield characters[first : (offset + len(secret)) * 8 // 6]


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first of some names for a person, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
