"""What routes ask for: the application's state, and its engine once it is ready."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.state import Loaded, ServiceState


# Coroutines, since FastAPI sends plain functions through its pool of threads.
async def _state(request: Request) -> ServiceState:
    state: ServiceState = request.app.state.service
    return state


async def _loaded(state: Annotated[ServiceState, Depends(_state)]) -> Loaded:
    return state.require()


State = Annotated[ServiceState, Depends(_state)]
Ready = Annotated[Loaded, Depends(_loaded)]
