"""A client of the real application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service import client as uwe
from service.settings import Settings
from tests.service.client.servers import forwarded


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Room for as many requests as a client sends at once."""
    return settings.model_copy(update={"max_waiting": 16})


@pytest.fixture
def blocking(client: TestClient) -> Iterator[uwe.UweClient]:
    with uwe.UweClient("http://testserver", transport=forwarded(client), retries=uwe.Retries(1)) as blocking:
        yield blocking
