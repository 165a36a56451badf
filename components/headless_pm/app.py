"""The application and the process that serves it."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from types import FrameType

import uvicorn
from fastapi import APIRouter, Depends, FastAPI
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.requests import Request

from components import durable
from components.errors import ConfigError
from components.headless_pm import document_routes, faults, history_routes, task_routes, team_routes
from components.headless_pm.bell import Bell
from components.headless_pm.gate import Gate
from components.headless_pm.office import Office, authorized
from components.headless_pm.settings import Settings
from components.headless_pm.tables import opened

PREFIX = "/api/v1"
DRAIN_SECONDS = 5


def create_app(settings: Settings) -> FastAPI:
    """Build the application on the settings' database, which is made when it is not there."""
    office = Office(settings, opened(settings.database))
    app = FastAPI(
        title="Headless PM",
        version=history_routes.VERSION,
        docs_url=f"{PREFIX}/docs",
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        lifespan=_lifespan,
    )
    app.state.office = office
    keyed = APIRouter(prefix=PREFIX, dependencies=[Depends(authorized)])
    for routes in (team_routes.routes, document_routes.routes, history_routes.routes):
        keyed.include_router(routes)
    keyed.include_router(task_routes.router(settings.defects))
    app.include_router(keyed)
    app.include_router(history_routes.context_router(settings.defects), prefix=PREFIX)
    app.include_router(history_routes.open_routes)
    app.add_middleware(Gate, delay=settings.defects.delay or 0.0)
    if settings.faults:
        _add_faults(app)
    app.add_exception_handler(UnicodeEncodeError, _not_text)
    app.add_exception_handler(RequestValidationError, _invalid)
    if not settings.defects.plain_500:
        app.add_exception_handler(Exception, _internal_error)
    return app


def _add_faults(app: FastAPI) -> None:
    app.state.mischief = faults.Mischief()
    app.include_router(faults.routes, dependencies=[Depends(authorized)])


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    office: Office = app.state.office
    office.engine.dispose()


async def _internal_error(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse({"detail": "Internal Server Error"}, 500)


async def _not_text(_: Request, __: Exception) -> JSONResponse:
    """Refuse half a surrogate pair, which JSON can spell and no database can hold."""
    mistake = {"type": "string_unicode", "loc": ["body"], "msg": "Input should be valid Unicode text", "input": None}
    return JSONResponse({"detail": [mistake]}, 422)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    try:
        return await request_validation_exception_handler(request, error)
    except UnicodeEncodeError:
        return await _not_text(request, error)


def serve(settings: Settings, host: str, port: int, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; calls `announce` with the URL once the server answers. Port 0 takes a free one.

    Raises ConfigError when the address cannot be had or another server has the database open.
    """
    durable.make_directory(settings.database.parent)
    lock = durable.try_lock(settings.database.with_name(settings.database.name + ".flock"))
    if lock is None:
        raise ConfigError(f"another server has {settings.database} open; stop it or give another --db")
    with closing(_bound(host, port)) as listener:
        app = create_app(settings)
        office: Office = app.state.office
        config = uvicorn.Config(
            faults.Saboteur(app, app.state.mischief) if settings.faults else app,
            proxy_headers=False,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        signal.signal(signal.SIGTERM, _exit)
        _Server(config, announce, office.bell).run(sockets=[listener])


def _exit(_: int, __: FrameType | None) -> None:
    sys.exit(0)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY by it
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(f"cannot listen on {host}:{port} ({error}); free it or give another --port") from error
    return listener


class _Server(uvicorn.Server):
    """Says when it answers, and lets waiting polls go before it drains."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None], bell: Bell) -> None:
        super().__init__(config)
        self._announce = announce
        self._bell = bell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            self._announce(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._bell.close()
        await super().shutdown(sockets)
