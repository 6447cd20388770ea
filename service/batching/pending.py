"""What is still to be computed of one request: rankings of its queries, or the token embeddings of its texts."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Hashable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from torch import Tensor

from service.answers import AnswerKey, AnswerSource
from service.traces import RequestTrace, current_trace
from uwe_core.encoder import TokenisedTexts, Truncation

TokenIds: TypeAlias = tuple[int, ...]
Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


@dataclass(eq=False, kw_only=True)
class PendingWork(Generic[Key, Result]):
    """The tokenised texts of one request, each distinct and none of them done yet, and the promise of their results.

    Only the computing thread takes texts and does them; `future` may be cancelled or failed on any thread.

    Attributes:
        keys: of the texts, by which their results are known.
        deadline: when it is given up, in seconds of `time.monotonic`.
        future: of the result of each text, by key.
        trace: of the request; None where nobody traces.
    """

    keys: list[Key]
    tokenised: TokenisedTexts
    deadline: float
    future: Future[dict[Key, Result]] = field(default_factory=Future)
    trace: RequestTrace | None = field(default_factory=current_trace.get)

    def __post_init__(self) -> None:
        self.queued = time.monotonic()
        self.tokens = self.tokens_left = sum(map(len, self.tokenised.token_ids))
        self._results: dict[Key, Result] = {}
        self._taken = 0

    @property
    def over(self) -> bool:
        """Nobody waits for it: done, failed, or its client went away."""
        return self.future.done()

    @property
    def texts_left(self) -> int:
        """Texts not yet taken."""
        return len(self.keys) - self._taken

    @property
    def next_tokens(self) -> int:
        """Tokens of the text that `take` gives."""
        return len(self.tokenised.token_ids[self._taken])

    @property
    def next_explained(self) -> int:
        """Targets to be explained, at most, of the text that `take` gives."""
        return 0

    @abstractmethod
    def take(self) -> Pending:
        """The next text."""

    def _take(self) -> tuple[int, TokenIds]:
        """The position of the next text and its token ids."""
        position = self._taken
        self._taken += 1
        token_ids = self.tokenised.token_ids[position]
        self.tokens_left -= len(token_ids)
        return position, tuple(token_ids)

    def answer(self, key: Key, result: Result) -> None:
        """One text is done; the last one fulfils the promise."""
        self._results[key] = result
        if len(self._results) == len(self.keys):
            with suppress(InvalidStateError):  # the client may go away at any moment
                self.future.set_result(self._results)

    def fail(self, error: BaseException) -> None:
        """Give it up, unless it is over."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


@dataclass(eq=False, kw_only=True)
class PendingRequest(PendingWork[AnswerKey, bytes]):
    """The queries of one request, and the promise of the JSON of their rankings.

    Attributes:
        source: the task, and the version of the space that is ranked.
    """

    source: AnswerSource

    def __post_init__(self) -> None:
        super().__post_init__()
        self._truncations = {cut.position: cut for cut in self.tokenised.truncations}

    @property
    def next_explained(self) -> int:
        """Targets to be explained, at most, of the query that `take` gives."""
        key = self.keys[self._taken]
        return key.top_k if key.explain else 0

    def take(self) -> PendingQuery:
        """The next query."""
        position, token_ids = self._take()
        return PendingQuery(self, self.keys[position], token_ids, self._truncations.get(position), position == 0)


@dataclass(eq=False, kw_only=True)
class PendingTexts(PendingWork[TokenIds, Tensor]):
    """The texts of one request by their token ids, and the promise of their token embeddings."""

    def take(self) -> PendingText:
        """The next text."""
        position, token_ids = self._take()
        return PendingText(self, token_ids, position == 0)


@dataclass(frozen=True, eq=False)
class PendingQuery:
    """One query of a request; a unit that is computed.

    Attributes:
        key: queries with equal keys have the same answer.
        token_ids: queries with equal ids have the same token embeddings, whatever their task.
        first: of its request.
    """

    request: PendingRequest
    key: AnswerKey
    token_ids: TokenIds
    truncation: Truncation | None
    first: bool


@dataclass(frozen=True, eq=False)
class PendingText:
    """One text to be encoded and no more; the other unit that is computed.

    Attributes:
        token_ids: texts and queries with equal ids have the same token embeddings.
        first: of its request.
    """

    request: PendingTexts
    token_ids: TokenIds
    first: bool


Pending: TypeAlias = PendingQuery | PendingText
