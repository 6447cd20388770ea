"""What openapi.json says of keys: the door is a middleware, so FastAPI does not know of it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.authentication import is_open
from service.live.uploads import SpacePatch, SpaceUpload

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The key, as a bearer token."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The key, in a header."},
}
_REFUSALS = {
    "401": "No key where one is needed, or an unknown one",
    "403": "The key has another scope",
    "429": "More requests than the caller may send",
}


def describe_uploads(app: FastAPI) -> None:
    """Add the bodies that routes read themselves."""
    describe = app.openapi
    _, described = models_json_schema(
        [(SpaceUpload, "validation"), (SpacePatch, "validation")], ref_template="#/components/schemas/{model}"
    )

    def openapi() -> dict[str, Any]:
        schema = describe()
        schema["components"]["schemas"] |= described["$defs"]
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def describe_keys(app: FastAPI) -> None:
    """Add the two ways to present a key, and the answers at the door, to every route that needs one."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        schema = describe()
        schema["components"]["securitySchemes"] = _SCHEMES
        body = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
        for path, operations in schema["paths"].items():
            for operation in operations.values() if not is_open(path) else ():
                operation["security"] = [{name: []} for name in _SCHEMES]
                for status, description in _REFUSALS.items():
                    operation["responses"][status] = {"description": description, "content": body}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
