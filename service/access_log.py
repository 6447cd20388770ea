"""One line in the log for each request: what it was, how it ended, by whose key. What it said only if told to."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.types import Scope

from service.observability import Route

logger = logging.getLogger(__name__)


def note_texts(request: Request, texts: Sequence[str]) -> None:
    """Tell the log of a request's texts: their number, and themselves where the setting `log_texts` is on."""
    request.state.texts = texts


class AccessLog:
    """Lines for people, with the same facts as fields beside them for programs.

    Args:
        with_texts: log what callers wrote, too.
    """

    def __init__(self, *, with_texts: bool) -> None:
        self._with_texts = with_texts

    def write(self, scope: Scope, route: Route, status: int, seconds: float) -> None:
        """One request was answered."""
        if not logger.isEnabledFor(logging.INFO):
            return
        client, state = scope.get("client"), scope["state"]
        texts: Sequence[str] | None = state.get("texts")
        fields: dict[str, Any] = {
            "client": client[0] if client else None,
            "method": scope["method"],
            "route": route.template,
            "task": route.task,
            "status": status,
            "seconds": round(seconds, 6),
            "queries": None if texts is None else len(texts),
            "key": state.get("key_name"),
        }
        line = "%s %s %s: %d in %.1f ms, key %s, request %s"
        facts = [
            fields["client"] or "-", fields["method"], route.path, status, seconds * 1000, fields["key"] or "-",
            state["request_id"],
        ]  # fmt: skip
        if self._with_texts and texts is not None:
            fields["texts"] = list(texts)
            line += ", texts %s"
            facts.append(json.dumps(texts))  # as JSON a text cannot begin a line of its own
        known = {name: value for name, value in fields.items() if value is not None}
        logger.info(line, *facts, extra=known)
