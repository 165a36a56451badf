"""Puts the service together: its parts, its routes, what stands before them, what goes on beside them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Response
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles

from components import __version__, history_sync, store_url
from components.board import Board
from components.config import Loaded
from components.redact import Redactor, secret_values
from components.server import (
    adoption,
    answers,
    board_runs,
    driving,
    known_query,
    moments,
    overview_routes,
    page_routes,
    runtime_routes,
    stream_routes,
    task_routes,
    tidying,
    workflow_routes,
)
from components.server.audit import Audit
from components.server.beginnings import Beginnings
from components.server.bulletin import Bulletin
from components.server.core import Core
from components.server.feeds import Feeds
from components.server.gate import Gate
from components.server.metrics import CONTENT_TYPE, Meters
from components.server.places import Places, files_allowed
from components.server.tokens import Tokens
from components.store import Store

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 0.5
ADOPT_SECONDS = 2.0
"""How often to look for executions whose runner is gone."""
DRIVE_SECONDS = 5.0
"""How often to see that what waits in workflows is worked on."""
SYNC_SECONDS = 10.0
"""How often the history is compared with what lives on this machine."""
TIDY_SECONDS = 3600.0
"""How often to look for stale workspaces."""
ROUTERS = (overview_routes, task_routes, runtime_routes, workflow_routes, stream_routes)
DESCRIPTION = "Tasks, executions and workspaces of coding agents. Times are UTC in ISO 8601, money is USD."


def make_core(loaded: Loaded, environ: Mapping[str, str], store: Store) -> Core:
    """Return the parts of a service on a store that is open."""
    config = loaded.config
    secrets = [config.api_key, *secret_values(environ), *store_url.secrets_of(config.store)]
    board = Board(store)
    return Core(
        loaded=loaded,
        environ=environ,
        store=store,
        board=board,
        feeds=Feeds(),
        bulletin=Bulletin(store, board),
        beginnings=Beginnings(board),
        places=Places(config.max_streams, files_allowed()),
        meters=Meters(config.home, store),
        redact=Redactor(secrets),
    )


def create_app(core: Core, tokens: Tokens) -> FastAPI:
    """Build the application."""
    app = FastAPI(
        title="Advanced Agent Runner",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=_lifespan,
        responses=answers.PROBLEMS,
    )
    app.state.core = core
    app.include_router(page_routes.routes)
    for router in ROUTERS:
        app.include_router(router.routes, dependencies=[Depends(known_query.require)])

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    def metrics() -> Response:
        """Tell Prometheus everything; any token may ask."""
        return Response(core.meters.text(), media_type=CONTENT_TYPE)

    app.mount("/static", StaticFiles(directory=page_routes.STATIC), name="static")
    answers.install(app)
    app.add_middleware(Gate, config=core.loaded.config, tokens=tokens, meters=core.meters, audit=Audit(core.home))
    app.openapi = lambda: _description(app)  # type: ignore[method-assign]
    return app


def _description(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description: our 400 instead of FastAPI's 422, and the token."""
    if not app.openapi_schema:
        told = FastAPI.openapi(app)
        told["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        told["security"] = [{"token": []}]
        for methods in told["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            told["components"]["schemas"].pop(name, None)
    return app.openapi_schema or told


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Settle what ended while we were away, then keep settling; nothing that runs is touched when we end."""
    core: Core = app.state.core
    with core.store.writing():
        pass  # the tables are made, and the library is loaded, before the first request needs them
    await asyncio.to_thread(board_runs.settle, core)
    await asyncio.to_thread(adoption.adopt_all, core)
    await asyncio.to_thread(moments.await_all, core)
    beside = [
        asyncio.create_task(_again_and_again(SETTLE_SECONDS, lambda: board_runs.settle(core))),
        asyncio.create_task(_again_and_again(SETTLE_SECONDS, lambda: moments.tell_ends(core))),
        asyncio.create_task(_again_and_again(ADOPT_SECONDS, lambda: adoption.adopt_all(core))),
        asyncio.create_task(_again_and_again(DRIVE_SECONDS, lambda: driving.keep_going(core))),
        asyncio.create_task(_again_and_again(TIDY_SECONDS, lambda: tidying.tidy(core))),
        asyncio.create_task(_again_and_again(SYNC_SECONDS, lambda: history_sync.sync(core.home, core.store))),
    ]
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        core.store.close()


async def _again_and_again(seconds: float, work: Any) -> None:
    while True:
        try:
            await asyncio.to_thread(work)
        except Exception:  # the last line of defence: the next time it may work
            logger.exception("what the service does beside its requests failed; it is tried again")
        with contextlib.suppress(TimeoutError):
            await asyncio.sleep(seconds)
