"""What every request and WebSocket passes first: whose name it calls, from which site, with which token, how large.

A browser does what any page tells it: a page may lead a name of its own to this machine (DNS rebinding), and may open
WebSockets to anywhere. So only known names are answered, and pages of other sites are not; and what changes something
needs a token that no browser sends by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.config import Config
from components.server import hosts
from components.server.audit import Audit
from components.server.metrics import Meters
from components.server.rates import Rates
from components.server.tokens import Caller, Right, Tokens

OPEN = frozenset({"/", "/health", "/ready", "/docs", "/openapi.json", "/favicon.ico"})
OPEN_BELOW = "/static/"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
BEARER = "bearer "
PROTOCOL = "agent-runner"
PROTOCOL_TOKEN = "agent-runner.token."  # noqa: S105
FAILURES_A_MINUTE = 60
RIGHT = b"agent-runner-right"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request goes no further."""

    status: int
    kind: str
    error: str

    def response(self) -> JSONResponse:
        headers = {"Connection": "close"} if self.status == 413 else {}
        headers |= {"WWW-Authenticate": 'Bearer realm="agent-runner"'} if self.status == 401 else {}
        headers |= {"Retry-After": "10"} if self.status == 429 else {}
        return JSONResponse({"error": self.error, "kind": self.kind}, self.status, headers)


class Gate:
    """Lets through what may pass, keeps the audit of what changes something, and measures how long it took."""

    def __init__(self, app: ASGIApp, config: Config, tokens: Tokens, meters: Meters, audit: Audit) -> None:
        self._app = app
        self._config = config
        self._tokens = tokens
        self._meters = meters
        self._audit = audit
        self._hosts = hosts.known(config.serve_host, config.allowed_hosts)
        self._rates = Rates(config.rate_limit)
        self._failures = Rates(FAILURES_A_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0
        headers = Headers(scope=scope)
        caller = self._tokens.caller(_token(headers))

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *_ENCODED, *_right(caller)]}
            await send(message)

        refusal = self._refusal(scope, headers, caller)
        try:
            if refusal is not None:
                await refusal.response()(scope, receive, answered)
            else:
                scope["state"]["caller"] = caller
                await self._app(scope, self._measured(receive), answered)
        except BaseException:
            status = status or 500
            raise
        finally:
            self._note(scope, caller, status, time.monotonic() - began)

    def _refusal(self, scope: Scope, headers: Headers, caller: Caller | None) -> Refusal | None:
        return (
            self._of_place(headers)
            or self._of_caller(scope, caller, scope["client"][0] if scope.get("client") else "")
            or self._of_size(headers)
        )

    def _of_place(self, headers: Headers) -> Refusal | None:
        """Refuse who calls us by another's name, and pages of other sites."""
        origin, host = headers.get("origin"), ", ".join(headers.getlist("host"))
        if hosts.name(host) not in self._hosts:
            remedy = f"add {hosts.name(host)[:100]!r} to allowed_hosts if it is one of its names"
            return Refusal(421, "WrongHost", f"this service is not called {host[:100]!r}; {remedy}")
        if origin is not None and not self._is_ours(origin, host):
            return Refusal(403, "WrongOrigin", f"pages of {origin[:100]!r} may not call this; see allowed_origins")
        return None

    def _of_caller(self, scope: Scope, caller: Caller | None, address: str) -> Refusal | None:
        """Refuse who asks too often, and who may not ask."""
        if not self._rates.allows(address):
            return Refusal(429, "TooFast", f"more than {self._config.rate_limit} requests a minute (rate_limit)")
        if caller is None and not _is_open(scope):
            if not self._failures.allows(address):
                return Refusal(429, "TooFast", "too many requests without a valid token; wait a minute")
            return Refusal(401, "Unauthorized", "a token is needed: `Authorization: Bearer TOKEN`; see docs/api.md")
        if scope["type"] == "http" and scope["method"] not in READING and caller and caller.right is not Right.FULL:
            return Refusal(403, "ReadOnly", "this token may only read; use the other one")
        return None

    def _of_size(self, headers: Headers) -> Refusal | None:
        announced = headers.get("content-length", "0")
        is_small = announced.isdigit() and len(announced) < 20 and int(announced) <= self._config.body_limit
        return None if is_small else Refusal(413, "TooLarge", self._too_large())

    def _is_ours(self, origin: str, host: str) -> bool:
        """Is it our own page that calls? Its origin is then the host that it calls."""
        if origin in self._config.allowed_origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc == host

    def _measured(self, receive: Receive) -> Receive:
        size = 0

        async def measured() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > self._config.body_limit:
                    raise HTTPException(413, self._too_large(), {"Connection": "close"})
            return message

        return measured

    def _too_large(self) -> str:
        return f"the body is larger than {self._config.body_limit:,} bytes (body_limit)"

    def _note(self, scope: Scope, caller: Caller | None, status: int, seconds: float) -> None:
        if scope["type"] != "http":
            return
        route = getattr(scope.get("route"), "path", "") or "none"
        method = scope["method"] if scope["method"] in (*READING, "POST", "PUT", "PATCH", "DELETE") else "other"
        self._meters.took(method, route, status, seconds)
        if scope["method"] not in READING:
            self._audit.note(scope, caller, status, seconds)


_ENCODED = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


def _right(caller: Caller | None) -> list[tuple[bytes, bytes]]:
    """Return the header that tells a page what its token allows, so that it offers nothing else."""
    return [(RIGHT, caller.right.encode())] if caller is not None else []


def _token(headers: Headers) -> str:
    """Return the token of a request. A page cannot give a WebSocket headers, but the name of a protocol."""
    given = headers.get("authorization", "")
    if given[: len(BEARER)].lower() == BEARER:
        return given[len(BEARER) :].strip()
    words = [word.strip() for word in headers.get("sec-websocket-protocol", "").split(",")]
    return next((word.removeprefix(PROTOCOL_TOKEN) for word in words if word.startswith(PROTOCOL_TOKEN)), "")


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    return scope["type"] == "http" and scope["method"] in READING and (path in OPEN or path.startswith(OPEN_BELOW))
