"""Requests to one origin, bounded in time and in size, that never go elsewhere.

What is repeated here is data (`PATIENCE`), and short: whoever asked repeats with a long backoff. Reads are repeated;
writes are not, as an answer that was lost does not say whether the server acted.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from types import MappingProxyType
from urllib.parse import urlsplit

import requests
import tenacity
import urllib3

from components.api_url import is_loopback
from components.errors import SourceUnavailable
from components.http_deadline import DeadlineAdapter, WaitForAnswer, is_given_up

ANSWER_LIMIT = 16_000_000
REFUSAL_LIMIT = PIECE = 65_536
CONNECT_SECONDS = 5.0
# The server (or a proxy before it) is there, and may say something else later.
PASSING = frozenset({408, 423, 425, 429, *range(500, 600)})
# Of those, the ones that say that nothing was done.
UNTOUCHED = frozenset({423, 425, 429})


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is made before its failure is told. Times in seconds.

    No further try is begun after `within`. Waits are random up to `first_wait`, then up to twice that, and so on, on
    top of a Retry-After; one longer than `longest_retry_after` is left to whoever asked.
    """

    tries: int
    within: float = 3.0
    first_wait: float = 0.5
    longest_wait: float = 1.5
    longest_retry_after: float = 10.0


SHORT = Patience(tries=3)
NONE = Patience(tries=1)
PATIENCE: Mapping[str, Patience] = MappingProxyType({"GET": SHORT, "POST": NONE, "PUT": NONE})


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `is_repeatable` is for a write that may be made twice without harm."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    is_repeatable: bool = False

    @property
    def patience(self) -> Patience:
        return SHORT if self.is_repeatable else PATIENCE[self.method]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read whole, or for a refusal its first 64 kB."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def data(self) -> object:
        """Return the JSON of the body. Raises ValueError when it is none, or nested too deeply to be read."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("JSON that is nested too deeply") from None
        except ValueError:
            start = self.body[:200].lstrip().lower()
            kind = "HTML" if start.startswith((b"<!doctype", b"<html")) else "no whole JSON"
            raise ValueError(f"{kind} ({len(self.body):,} bytes)") from None


class Unanswered(SourceUnavailable):
    """A request that brought no answer to go by; `is_passing` when a short wait may help."""

    def __init__(self, message: str, *, is_passing: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.is_passing = is_passing
        self.retry_after = retry_after


class AnswerTooLarge(Unanswered):
    """The answer is larger than may be read."""


class Origin:
    """One server, asked over HTTP. `timeout` is in seconds and bounds a whole answer, `wait` sleeps between tries.

    Proxies of the environment are used but for a loopback host; redirects are not followed, cookies not kept.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: float,
        wait: Callable[[float], object],
        wait_for_answer: WaitForAnswer | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = (min(CONNECT_SECONDS, timeout), timeout)
        self._wait = wait
        host = urlsplit(self.url).hostname or ""
        self._proxies = {"no_proxy": host} if is_loopback(self.url) else {}
        self._session = _Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.auth = lambda request: request  # else every request looks for a password in ~/.netrc
        self._session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity", **headers})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter(wait_for_answer))

    def ask(self, request: Request) -> Answer:
        """Make a request and return the answer: a success or a refusal (4xx).

        Raises SourceUnavailable for anything else, saying "outcome unknown" where a write may have been done.
        """
        patience = request.patience
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(patience.tries) | tenacity.stop_after_delay(patience.within),
            wait=tenacity.wait_exception(_retry_after)
            + tenacity.wait_random_exponential(patience.first_wait, patience.longest_wait),
            retry=tenacity.retry_if_exception(lambda error: _is_worth_repeating(error, patience)),
            sleep=self._rest,
            reraise=True,
        )
        return retrying(self._ask_once, request)

    def problem(self, request: Request, seen: str, *, is_done: bool | None = None) -> str:
        """Return the sentence for what was seen instead of a usable answer; `is_done` None when nobody knows."""
        is_write = request.method != "GET" and not request.is_repeatable
        unknown = "; outcome unknown: look before asking again" if is_write and is_done is None else ""
        return f"{self.url}: {request}: {seen}{unknown}"

    def _rest(self, seconds: float) -> None:
        self._wait(seconds)

    def _ask_once(self, request: Request) -> Answer:
        try:
            with self._session.request(
                request.method,
                self.url + request.path,
                params=dict(request.query),
                json=request.body,
                timeout=self._timeout,
                proxies=self._proxies,
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._read(request, response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            seen, never_arrived = _failure(error, self._timeout[1])
            done = False if never_arrived else None
            hint = "; is the server running there, and HEADLESS_PM_API_URL right?" if never_arrived else ""
            raise Unanswered(
                self.problem(request, seen + hint, is_done=done), is_passing=not is_given_up(error)
            ) from error

    def _read(self, request: Request, response: requests.Response) -> Answer:
        status = response.status_code
        if status in PASSING:
            after = _seconds(response.headers.get("Retry-After"), response.headers.get("Date"))
            wish = f", to be asked again in {after:.0f} s" if after else ""
            message = self.problem(request, f"HTTP {status}{wish}", is_done=False if status in UNTOUCHED else None)
            raise Unanswered(message, is_passing=True, retry_after=after)
        if 300 <= status < 400:
            target = repr(response.headers.get("Location", "").partition("?")[0][:200])
            seen = f"a redirect to {target}, which is not followed; set HEADLESS_PM_API_URL to the final address"
            raise Unanswered(self.problem(request, seen))
        if status >= 400:
            return Answer(status, _body(response, REFUSAL_LIMIT)[:REFUSAL_LIMIT])
        length = response.headers.get("Content-Length", "")
        is_large = length.isdecimal() and int(length[:20]) > ANSWER_LIMIT
        body = b"" if is_large else _body(response, ANSWER_LIMIT)
        if is_large or len(body) > ANSWER_LIMIT:
            raise AnswerTooLarge(self.problem(request, f"an answer larger than {ANSWER_LIMIT:,} bytes, not read"))
        return Answer(status, body)


def _body(response: requests.Response, limit: int) -> bytes:
    """Return a body, or its beginning, a little more than `limit`. Raises where it is shorter than was announced."""
    body = bytearray()
    while len(body) <= limit and (piece := response.raw.read(PIECE, decode_content=False)):
        body += piece
    return bytes(body)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """Return None: the library would read the whole body of a redirect, however large, even one not followed."""
        return None


def _retry_after(error: BaseException) -> float:
    return error.retry_after if isinstance(error, Unanswered) else 0.0


def _is_worth_repeating(error: BaseException, patience: Patience) -> bool:
    return isinstance(error, Unanswered) and error.is_passing and error.retry_after <= patience.longest_retry_after


def _seconds(retry_after: str | None, date: str | None) -> float:
    """Return a Retry-After in seconds, 0 for none; a date is measured by the server's own clock, its Date header."""
    if not retry_after:
        return 0.0
    if retry_after.strip().isdecimal():
        return float(retry_after[:9])
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - parsedate_to_datetime(date or "")).total_seconds())
    except (TypeError, ValueError):
        return 0.0


NEVER_ARRIVED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    ssl.SSLCertVerificationError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
)


def _failure(error: BaseException, timeout: float) -> tuple[str, bool]:
    """Return what a failed request saw, and whether it certainly did not reach the server."""
    chain = [error]
    while (link := chain[-1].__cause__ or chain[-1].__context__) is not None and link not in chain:
        chain.append(link)
    never_arrived = any(isinstance(link, NEVER_ARRIVED) for link in chain)
    if any(isinstance(link, TimeoutError) for link in chain):
        seen = f"no connection within {CONNECT_SECONDS:g} s" if never_arrived else f"no answer within {timeout:g} s"
        return seen, never_arrived
    for link in reversed(chain):
        if isinstance(link, OSError) and link.strerror and not isinstance(link, requests.RequestException):
            return link.strerror.lower(), never_arrived
    return f"the connection ended before the answer was whole ({type(chain[-1]).__name__})", never_arrived
