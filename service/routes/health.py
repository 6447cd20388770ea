"""`/healthz`, `/readyz` and `/metrics`: for the machines that watch."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.routes.dependencies import Ready, State
from service.schemas.errors import ErrorResponse
from service.schemas.health import EncodingTrial, Health, Readiness
from service.schemas.origin import ModelSummary

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def alive() -> Health:
    """The process is alive; says nothing of whether it can rank."""
    return Health()


@router.get("/readyz", responses={503: {"model": ErrorResponse}})
async def ready(loaded: Ready) -> Readiness:
    """Weights, token indexes and warm-up are done; 503 until then, with what is being done."""
    model = loaded.engine.description
    encoding = model.encoding
    return Readiness(
        model=ModelSummary(name=model.model_name, fingerprint=model.model_fingerprint),
        device=model.device,
        backend=encoding.backend,
        precision=encoding.precision,
        threads=encoding.threads,
        processor=list(encoding.processor),
        trials=[EncodingTrial.model_validate(trial) for trial in encoding.trials],
    )


@router.get("/metrics", response_class=Response)
async def metrics(state: State) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(generate_latest(state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
