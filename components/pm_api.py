"""Requests to a Headless PM server in the name of one agent: what its refusals mean, and who signs in again when."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

import components
from components import pm_wire
from components.errors import RunnerError, SourceRefused, SourceUnavailable, Unauthorized
from components.http import Answer, Origin, Request
from components.http_deadline import WaitForAnswer
from components.model import Task
from components.ports import Registration

logger = logging.getLogger(__name__)

API = "/api/v1"
UNKNOWN_AGENT = re.compile(r"agent\b.{0,200}\bnot found", re.IGNORECASE | re.DOTALL)
UNKNOWN_TASK = re.compile(r"task\b.{0,200}\bnot found", re.IGNORECASE | re.DOTALL)
NO_SUCH_PATH = frozenset({"Not Found", "Method Not Allowed"})
# Refusals that have a name of their own, or that are not for ever; any other is SourceRefused.
REFUSALS: Mapping[int, type[RunnerError]] = MappingProxyType({401: Unauthorized, 409: SourceUnavailable})

T = TypeVar("T")
Acted = tuple[Request, Answer]


class PmApi:
    """The API as one agent uses it. `timeout` (seconds) bounds an answer, `wait` sleeps between tries."""

    def __init__(
        self,
        url: str,
        api_key: str,
        agent_id: str,
        role: str,
        level: str,
        *,
        timeout: float,
        wait: Callable[[float], object],
        wait_for_answer: WaitForAnswer | None = None,
    ) -> None:
        headers = {"X-API-Key": api_key, "User-Agent": f"advanced-agent-runner/{components.__version__}"}
        self.url = url.rstrip("/").removesuffix(API).rstrip("/")
        self._origin = Origin(self.url, headers, timeout=timeout, wait=wait, wait_for_answer=wait_for_answer)
        self._api_key = api_key
        self._agent_id = agent_id
        self._registration = {"agent_id": agent_id, "role": role, "level": level, "connection_type": "client"}
        self._is_upper_case = False

    def register(self) -> Registration:
        """Sign in. It may be done any number of times; the first role and level are the ones that count."""
        request = Request("POST", f"{API}/register", body=self._registration, is_repeatable=True)
        return self.read(request, self._origin.ask(request), pm_wire.parse_registration)

    def ask(self, request: Request) -> Answer:
        """Make a request and return its answer, a refusal too.

        A server that forgot this agent has done nothing: it gets the agent's registration, and the request once more.
        Raises SourceUnavailable.
        """
        answer = self._origin.ask(request)
        if answer.status == 404 and UNKNOWN_AGENT.match(pm_wire.parse_detail(data_of(answer), "")):
            logger.warning("%s does not know agent %s any more; registering it again", self.url, self._agent_id)
            self.register()
            answer = self._origin.ask(request)
        return answer

    def read(self, request: Request, answer: Answer, parse: Callable[[object], T]) -> T:
        """Return what a successful answer says.

        Raises Unauthorized or SourceRefused for a refusal, SourceUnavailable for an answer that makes no sense.
        """
        if not answer.is_success:
            raise self._refusal(request, answer)
        try:
            return parse(answer.data())
        except ValueError as error:
            raise SourceUnavailable(self._origin.problem(request, f"unusable answer: {error}")) from error

    def get(self, path: str, query: Mapping[str, str], parse: Callable[[object], T]) -> T:
        """Read from the API."""
        request = Request("GET", API + path, query)
        return self.read(request, self.ask(request), parse)

    def act(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, actor: str = "agent_id"
    ) -> Acted:
        """Write to the API as this agent, and return the request with its answer, a refusal too."""
        request = Request(method, API + path, {actor: self._agent_id}, body)
        return request, self.ask(request)

    def has_no_such_path(self, answer: Answer) -> bool:
        """Return whether an answer says that the server, an original one, has no such request."""
        told = pm_wire.parse_detail(data_of(answer), "")
        return answer.status == 405 or (answer.status == 404 and told in NO_SUCH_PATH)

    def check_absence(self, request: Request, answer: Answer) -> None:
        """See that a 404 is about a task, in a server's own words: a proxy has such pages too."""
        if not UNKNOWN_TASK.search(pm_wire.parse_detail(data_of(answer), "")):
            raise SourceUnavailable(self._origin.problem(request, "404 in words of another server", is_done=False))

    def parse_task(self, data: object) -> Task:
        """Return a task, and remember in which case this server spells statuses. Raises ValueError."""
        task = pm_wire.parse_task(data)
        self._is_upper_case = pm_wire.is_upper_case(data)
        return task

    def spellings(self, status: str) -> tuple[str, str]:
        """Return a status as this server spells it, then the other way."""
        lower, upper = status.lower(), status.upper()
        return (upper, lower) if self._is_upper_case else (lower, upper)

    def _refusal(self, request: Request, answer: Answer) -> RunnerError:
        kind = REFUSALS.get(answer.status, SourceRefused)
        if kind is Unauthorized:
            seen = "the API key is not accepted; check HEADLESS_PM_API_KEY (also read: API_KEY_HEADLESS_PM, API_KEY)"
            return Unauthorized(self._origin.problem(request, seen, is_done=False))
        detail = pm_wire.parse_detail(data_of(answer), answer.body.decode(errors="replace"))
        if self._api_key:
            detail = detail.replace(self._api_key, "********")
        hint = "; is HEADLESS_PM_API_URL the address of a Headless PM server?" if detail in NO_SUCH_PATH else ""
        return kind(self._origin.problem(request, f"refused ({answer.status}): {detail}{hint}", is_done=False))


def data_of(answer: Answer) -> object:
    """Return the JSON of an answer, or None where it has none."""
    try:
        return answer.data()
    except ValueError:
        return None
