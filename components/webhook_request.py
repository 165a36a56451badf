"""One webhook: a signed POST, bounded in time and size, that goes nowhere else.

Requests carry the headers of the Standard Webhooks specification: `webhook-id` (the same for every try),
`webhook-timestamp` and, where there is a secret, `webhook-signature`: base64 of the HMAC-SHA256 of
`<id>.<timestamp>.<body>`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import requests
import urllib3

from components import text_file
from components.api_url import is_loopback
from components.errors import ConfigError
from components.http_deadline import DeadlineAdapter

ANSWER_BYTES = 16_384
PASSING = frozenset({408, 425, 429, *range(500, 600)})
SECRET_PREFIX = "whsec_"  # noqa: S105
AGENT = "advanced-agent-runner"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that is to be made."""

    address: str
    body: bytes
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")

    def headers(self, secret: bytes, now: float) -> dict[str, str]:
        """Return the headers of a try at a time, in seconds since 1970."""
        at = str(int(now))
        headers = {"Content-Type": "application/json", "User-Agent": AGENT, "webhook-id": self.id}
        headers["webhook-timestamp"] = at
        if secret:
            signed = hmac.new(secret, f"{self.id}.{at}.".encode() + self.body, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
        return headers


class Unanswered(Exception):
    """A try that brought no usable answer, and may be repeated."""


def post(delivery: Delivery, secret: bytes, timeout: float) -> tuple[int, bytes]:
    """Make one request and return the status and the beginning of the answer. Raises Unanswered.

    `timeout` in seconds bounds the connection, and then the whole answer. Redirects are not followed.
    """
    try:
        with (
            _session(delivery.address) as session,
            session.post(
                delivery.address,
                data=delivery.body,
                headers=delivery.headers(secret, time.time()),
                timeout=(timeout, timeout),
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            body = response.raw.read(ANSWER_BYTES, decode_content=False) or b""
            status = response.status_code
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        kind = "no answer in time" if _is_timeout(error) else "no connection, or it broke off"
        raise Unanswered(f"{kind} ({type(error).__name__})") from None
    if status in PASSING:
        raise Unanswered(f"HTTP {status}")
    return status, body


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """Return None: the library would read the whole body of a redirect, however large, even one not followed."""
        return None


def _session(address: str) -> requests.Session:
    session = _Session()
    session.auth = lambda request: request  # else every request looks for a password in ~/.netrc
    session.trust_env = not is_loopback(address)
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter())
    return session


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, requests.Timeout | TimeoutError) or "timed out" in str(error)


def secret_of(path: Path | None) -> bytes:
    """Return the secret of a file, b"" for no file: text as it is, or `whsec_` and base64. Raises ConfigError."""
    if path is None:
        return b""
    try:
        opened = text_file.read(path, limit=8192)
        text = opened.text.strip()
        if not opened.is_private:
            raise ValueError(f"other users may read it; run: chmod 600 {path}")
        if not text:
            raise ValueError("it is empty; write a long random text into it")
        if text.startswith(SECRET_PREFIX):
            return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        return text.encode()
    except FileNotFoundError:
        raise ConfigError(f"webhook_secret_file: there is no file {path}; make it (0600)") from None
    except ValueError as error:
        raise ConfigError(f"webhook_secret_file: {path}: {error}") from None
