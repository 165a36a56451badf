"""How errors are told: one shape for all of them, `{"error": ..., "kind": ...}`, with the status of their kind."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from components import errors
from components.board import NotInTodo, ProjectBusy
from components.server.core import ProjectNotNamed
from components.server.places import TooManyStreams

logger = logging.getLogger(__name__)

HTTP_STATUS: Mapping[type[Exception], int] = {
    errors.NotFound: 404,
    errors.ConfigError: 400,
    errors.UnsafeName: 400,
    NotInTodo: 400,
    errors.IllegalMove: 409,
    TooManyStreams: 503,
    errors.TooManyTasks: 409,
    errors.StillRunning: 409,
    errors.HookRejected: 409,
    errors.HookPostponed: 409,
    errors.UnsavedWork: 409,
    errors.AlreadyLive: 409,
    errors.TaskTaken: 409,
    errors.AgentMissing: 424,
    errors.GitFailed: 409,
    errors.StoreUnavailable: 503,
    errors.StateCorrupt: 503,
    errors.StateForeign: 503,
}
FIELDS: Mapping[type[Exception], str] = {
    errors.UnsafeUrl: "repository",
    errors.UnsafeName: "branch",
    ProjectNotNamed: "project",
}
"""Which field of a request an error is about that is found behind the edge."""
UNREADABLE = "There was an error parsing the body"
"""What FastAPI says of a body that is nested too deeply, or not in the encoding that it announces."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
KINDS = {400: "Invalid", 404: "NotFound", 405: "NotAllowed", 413: "TooLarge"}


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    problem: str


class Problem(BaseModel):
    """An error: in words for people, and by its kind for programs."""

    error: str
    kind: str
    field: str | None = Field(default=None, description="The first field that is missing, unknown or wrong.")
    fields: list[FieldProblem] | None = Field(default=None, description="All of them.")
    running: str | None = Field(default=None, description="The task that runs, where no more may run at once.")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": words}
    for code, words in {
        400: "A field is missing, unknown or wrong: `field` names it.",
        401: "There is no valid token.",
        403: "The token may only read, or the page is of another site.",
        404: "There is no such thing.",
        409: "Not in the state that it is in.",
        413: "The body is too large.",
        421: "The Host header names another service.",
        429: "Too many requests.",
        503: "The store of the history does not answer.",
    }.items()
}


def install(app: FastAPI) -> None:
    """Have an application tell errors so."""
    app.add_exception_handler(errors.RunnerError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(WebSocketRequestValidationError, _invalid_stream)
    app.add_exception_handler(HTTPException, _http)
    app.add_api_websocket_route("/{path:path}", no_stream)
    app.add_exception_handler(Exception, _unforeseen)


def status_of(error: Exception) -> int:
    """Return the status that tells an error's kind."""
    return next((HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS), 500)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    told: dict[str, object] = {"error": str(error), "kind": type(error).__name__}
    if type(error) in FIELDS:
        told["field"] = FIELDS[type(error)]
    if isinstance(error, ProjectBusy):
        told["running"] = error.running
    return JSONResponse(told, status_of(error))


async def no_stream(socket: WebSocket) -> None:
    """Say that there is no such WebSocket."""
    words = "there is no such stream; /ws/tasks/ID, /ws/executions/ID and /ws/events are"
    await socket.send_denial_response(JSONResponse({"error": words, "kind": "NotFound"}, 404))


async def _invalid_stream(socket: WebSocket, error: Exception) -> None:
    assert isinstance(error, WebSocketRequestValidationError)
    await socket.send_denial_response(_fields_answer(error.errors(), ""))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _fields_answer(error.errors(), request.headers.get("content-type", ""))


def _fields_answer(problems: Sequence[Any], kind: str) -> JSONResponse:
    """Name the fields that are missing, unknown or wrong; what was given is not repeated."""
    found = [{"field": _field(one), "problem": _words(one)} for one in problems]
    first = found[0]
    if first["field"] == "body" and "json" not in kind:
        first["problem"] = (
            f"it is not JSON but {kind[:60] or 'of no kind'}; send it with Content-Type: application/json"
        )
    told = {"error": f"{first['field']}: {first['problem']}", "kind": "Invalid", "field": first["field"]}
    return JSONResponse({**told, "fields": found[:20]}, 400)


def _field(one: Mapping[str, Any]) -> str:
    where = one["loc"]
    if one["type"] == "json_invalid":  # where in the text it breaks is no field
        return "body"
    return ".".join(str(part) for part in where[1:]) or str(where[0])


def _words(one: Mapping[str, Any]) -> str:
    if one["type"] == "missing":
        return "it is missing"
    if one["type"] == "extra_forbidden":
        return "there is no such field"
    return str(one["msg"]).removeprefix("Value error, ").encode(errors="replace").decode()


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = KINDS.get(error.status_code, "Error")
    is_unreadable = error.status_code == 400 and error.detail == UNREADABLE
    told = {"error": "the body is no JSON that can be read" if is_unreadable else str(error.detail), "kind": kind}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return JSONResponse(told | ({"field": "body"} if is_unreadable else {}), error.status_code, headers)


def _methods(request: Request) -> set[str]:
    """Return the methods that a path takes: each of its routes takes one."""
    found = set()
    for method in METHODS:
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes):
            found.add(method)
    return found


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "this should not have happened; the service's log tells more", "kind": "Bug"}, 500)
