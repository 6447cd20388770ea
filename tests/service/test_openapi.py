"""The API's contract is a committed file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from service.app import create_app
from service.settings import Settings

CONTRACT = Path(__file__).parent.parent.parent / "openapi.json"


def test_the_api_is_the_committed_one() -> None:
    current = json.dumps(create_app(Settings()).openapi(), indent=1) + "\n"
    if os.environ.get("UWE_WRITE_OPENAPI"):
        CONTRACT.write_text(current)
    assert CONTRACT.read_text() == current, "the API changed; if that is wanted, run again with UWE_WRITE_OPENAPI=1"


def test_every_operation_has_an_example_or_needs_none() -> None:
    schema = create_app(Settings()).openapi()
    assert schema["components"]["schemas"]["RankRequest"]["examples"]
    assert schema["paths"]["/rank/{task}"]["post"]["responses"].keys() >= {"200", "404", "413", "422", "500", "503"}
