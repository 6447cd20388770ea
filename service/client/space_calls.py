"""Requests that upload, change and remove target spaces, and that ask how far it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypedDict
from urllib.parse import quote, urlencode

from service.client.errors import JobFailedError
from service.client.exchange import Call
from service.client.reading import job_of, spaces_of
from service.client.results import Job, Space

# Targets with `id`, `text` and where wanted `aliases` and `metadata`; or a CSV file, by its path or its bytes.
Targets: TypeAlias = Iterable[Mapping[str, Any]] | Path | bytes


class SpaceFacts(TypedDict, total=False):
    """What a space is, without its targets; the service says what each is without.

    Attributes:
        kind: `skill`, `job` or `other`.
        language: tag of the texts' language, such as `en` or `de-AT`.
        taxonomy_version: of the taxonomy that the targets come from.
        licence: of the texts.
        attribution: that their licence asks for.
    """

    kind: str
    language: str
    taxonomy_version: str
    licence: str
    attribution: str


def put_space_call(name: str, targets: Targets, facts: SpaceFacts) -> Call[Job]:
    """Upload a space."""
    path = _path(name)
    if isinstance(targets, Path | bytes):
        content = targets if isinstance(targets, bytes) else targets.read_bytes()
        query = f"?{urlencode(facts)}" if facts else ""
        return Call("PUT", path + query, job_of, content, content_type="text/csv")
    return Call("PUT", path, job_of, _json({**facts, "targets": list(targets)}))


def patch_space_call(
    name: str, put: Iterable[Mapping[str, Any]], remove: Iterable[str], fingerprint: str | None
) -> Call[Job]:
    """Change some targets of a space."""
    change: dict[str, Any] = {"put": list(put), "remove": list(remove)}
    if fingerprint is not None:
        change["fingerprint"] = fingerprint
    return Call("PATCH", _path(name), job_of, _json(change))


def delete_space_call(name: str) -> Call[Job]:
    """Remove a space."""
    return Call("DELETE", _path(name), job_of)


def spaces_call() -> Call[tuple[Space, ...]]:
    """List the spaces."""
    return Call("GET", "/spaces", spaces_of)


def job_call(identifier: str) -> Call[Job]:
    """Ask how far a change is."""
    return Call("GET", f"/jobs/{quote(identifier, safe='')}", job_of)


def check_made(job: Job, call: Call[Job]) -> Job:
    """A job that is over, unless it did not do what it was for.

    Raises:
        JobFailedError: it failed, or was cancelled since the server stopped.
    """
    if job.state == "finished":
        return job
    code, message = job.error or (job.state, f"the change of '{job.space}' was {job.state}")
    raise JobFailedError(message, None, code, call.request_id)


def _path(name: str) -> str:
    return f"/spaces/{quote(name, safe='')}"


def _json(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode("ascii")
