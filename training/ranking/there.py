"""Ranking by a running service. The one place where the offline job knows of the service: its client, no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from service.client import ClientError, RefusedError, UweClient
from training.ranking.answers import Answer
from training.ranking.filters import FilterFields
from uwe_core.errors import InputError, UnavailableError


def rank_there(
    client: UweClient,
    task: str,
    queries: Iterable[str],
    top_k: int | None,
    batch_size: int,
    fields: FilterFields | None = None,
) -> Iterator[Answer]:
    """Answers in the order of the queries, by several requests of `batch_size` at once.

    Raises:
        InputError: the service refuses.
        UnavailableError: it does not answer, or fails.
    """
    try:
        for result in client.rank_many(task, queries, top_k=top_k, batch_size=batch_size, filter=fields or {}):
            yield Answer(result.query, result.targets, result.truncated is not None)
    except ClientError as error:
        told = "; ".join([str(error), *getattr(error, "__notes__", ())])
        raise (InputError if isinstance(error, RefusedError) else UnavailableError)(told) from error


def client_of(server: str, api_key: str | None) -> UweClient:
    """A client of the service at that address.

    Raises:
        InputError: it is no address.
    """
    try:
        return UweClient(server, api_key=api_key)
    except ValueError as error:
        raise InputError(str(error)) from error
