"""The application factory. Nothing is loaded at import, and nothing before the server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.access_log import AccessLog
from service.authentication import AuthenticationMiddleware, Callers
from service.body_limit import BodyLimitMiddleware
from service.contract import describe_keys, describe_uploads
from service.engine import RankingEngine
from service.errors import install_error_handlers
from service.keys import KeyRing, Scope
from service.loading import load_ranker
from service.observability import Metrics
from service.request_id import REQUEST_ID_HEADER
from service.request_middleware import RequestMiddleware
from service.routes import batch, catalogue, embed, extract, health, jobs, rank, rerank, spaces, zero_shot
from service.routes.playground import add_playground
from service.safe_headers import SafeHeadersMiddleware
from service.settings import Settings
from service.state import ServiceState
from service.traces import Traces
from uwe_core.errors import ConfigurationError, ShuttingDownError

logger = logging.getLogger(__name__)

# Where settings do not say how often: for versions whose time is over.
_LOOK_SECONDS = 30.0
_DESCRIPTION = """Ranks skills and jobs for any text of the labour market.

`POST /rank/{task}` answers from target spaces whose token embeddings are cached: one pass of the encoder for the query,
then an exact score of every target."""


def create_app(settings: Settings, engine: RankingEngine | None = None, traces: Traces | None = None) -> FastAPI:
    """The application.

    Args:
        settings: of this application.
        engine: what ranks; loaded from the settings in the background where None.
        traces: makes traces; by the setting `tracing` where None.

    Raises:
        ConfigurationError: tracing that cannot be.
    """
    if traces is None and settings.tracing:
        traces = _traces_to_collector()
    tasks = engine.tasks if engine else settings.all_tasks
    state = ServiceState(settings, Metrics(tasks, [key.name for key in settings.api_keys]))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = None
        if engine is not None:
            state.become_ready(engine)
        else:
            loading = asyncio.create_task(_load(state))
        looking = asyncio.create_task(_look_around(state))
        yield
        looking.cancel()
        if loading is not None:
            loading.cancel()
        state.close()
        if traces is not None:
            traces.close()

    app = FastAPI(
        title="Unified Work Embeddings",
        description=_DESCRIPTION,
        version=version("unified-work-embeddings"),
        lifespan=lifespan,
        docs_url="/docs" if settings.docs_pages else None,
        redoc_url="/redoc" if settings.docs_pages else None,
    )
    app.state.service = state
    _add_middleware(app, state, traces)
    install_error_handlers(app)
    for routes in (rank, batch, extract, zero_shot, rerank, embed, catalogue, spaces, jobs, health):
        app.include_router(routes.router)
    if settings.playground:
        add_playground(app)
    describe_uploads(app)
    describe_keys(app)
    return app


def _add_middleware(app: FastAPI, state: ServiceState, traces: Traces | None) -> None:
    """Innermost first.

    CORS stands before the door, since a browser asks without a key whether it may ask; it and the safe headers stand
    outside of what answers faults, so that a 500 has them.
    """
    settings = state.settings
    app.add_middleware(
        BodyLimitMiddleware,
        max_bytes=settings.max_body_bytes,
        max_upload_bytes=settings.max_upload_bytes,
        seconds=settings.body_seconds,
    )
    metrics_scope: Scope | None = "admin" if settings.metrics_need_admin else None
    app.add_middleware(AuthenticationMiddleware, callers=Callers(settings), metrics_scope=metrics_scope)
    log = AccessLog(with_texts=settings.log_texts)
    ring = KeyRing(settings.api_keys)
    app.add_middleware(RequestMiddleware, metrics=state.metrics, log=log, ring=ring, traces=traces)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", REQUEST_ID_HEADER],
            expose_headers=["Retry-After", REQUEST_ID_HEADER],
        )
    app.add_middleware(SafeHeadersMiddleware)


def _traces_to_collector() -> Traces:
    try:
        from service.otel import traces_to_collector  # noqa: PLC0415 - an optional extra, imported only where it is used
    except ImportError as error:
        raise ConfigurationError(
            "tracing is true, and OpenTelemetry is not installed: pip install 'unified-work-embeddings[tracing]'"
        ) from error
    return traces_to_collector()


async def _look_around(state: ServiceState) -> None:
    """Every now and then, off the event loop: what other processes have finished, and what is over."""
    while True:
        await asyncio.sleep(state.settings.refresh_seconds or _LOOK_SECONDS)
        if state.loaded is not None:
            try:
                await asyncio.to_thread(state.loaded.live.look_around)
            except Exception:
                logger.exception("looking for new versions of spaces failed")


async def _load(state: ServiceState) -> None:
    try:
        state.become_ready(await asyncio.to_thread(load_ranker, state.settings, state.report))
    except ShuttingDownError:
        return
    except Exception as error:
        # Whatever it was: the process must not stay alive and never become ready.
        state.fail(error)
