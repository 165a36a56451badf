"""The pages for people: the dashboard, the description of the API; and whether the service lives and is ready."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from components import __version__
from components.errors import RunnerError
from components.server.core import core_of
from components.server.overview_shapes import Alive, Readiness

routes = APIRouter()
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Readiness, "description": "Something that it needs is not there."}
}
WITHOUT_TOKEN: dict[str, Any] = {"security": []}
ASKED = ["GET", "HEAD"]
STATIC = Path(__file__).with_name("static")


@routes.api_route("/", methods=ASKED, include_in_schema=False)
def dashboard() -> FileResponse:
    """Return the dashboard."""
    return _page("index.html")


@routes.api_route("/docs", methods=ASKED, include_in_schema=False)
def docs() -> FileResponse:
    """Return the page that shows the OpenAPI description."""
    return _page("docs.html")


@routes.api_route("/favicon.ico", methods=ASKED, include_in_schema=False)
def icon() -> Response:
    """Return that there is no icon but the page's own."""
    return Response(status_code=204)


@routes.head("/health", include_in_schema=False)
@routes.get("/health", tags=["health"], response_model=Alive, openapi_extra=WITHOUT_TOKEN)
def health() -> dict[str, str]:
    """Say that the service lives."""
    return {"status": "ok", "version": __version__}


@routes.head("/ready", include_in_schema=False)
@routes.get("/ready", tags=["health"], response_model=Readiness, responses=NOT_READY, openapi_extra=WITHOUT_TOKEN)
def ready(request: Request) -> JSONResponse:
    """Say whether the service can work: its store answers, its home takes files."""
    core = core_of(request)
    checks = {"store": "ok", "home": "ok" if os.access(core.home, os.W_OK) else "not writable"}
    try:
        core.store.last_transition()
    except RunnerError as error:
        checks["store"] = type(error).__name__
    is_ready = all(said == "ok" for said in checks.values())
    told: dict[str, Any] = {"status": "ready" if is_ready else "not ready", "checks": checks}
    return JSONResponse(told, 200 if is_ready else 503)


def _page(name: str) -> FileResponse:
    return FileResponse(STATIC / name, headers={"Cache-Control": "no-cache"})
