"""PendingRequest: what is still to be computed of one request."""

from __future__ import annotations

import time
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from service.answers import AnswerKey
from service.traces import RequestTrace
from uwe_core.encoder import TokenisedTexts, Truncation
from uwe_core.tasks import RankingTask


@dataclass(eq=False)
class PendingRequest:
    """The tokenised queries of one request, each distinct and none of them answered yet, and the promise of answers.

    Only the computing thread takes queries and answers them; `future` may be cancelled or failed on any thread.

    Attributes:
        keys: of the queries, which hold their texts.
        deadline: when it is given up, in seconds of `time.monotonic`.
        future: of the JSON of each query, by text.
        trace: of the request; None where nobody traces.
    """

    task: RankingTask
    keys: list[AnswerKey]
    tokenised: TokenisedTexts
    deadline: float
    future: Future[dict[str, bytes]] = field(default_factory=Future)
    trace: RequestTrace | None = None

    def __post_init__(self) -> None:
        self.queued = time.monotonic()
        self.tokens = self.tokens_left = sum(map(len, self.tokenised.token_ids))
        self._answers: dict[str, bytes] = {}
        self._truncations = {cut.position: cut for cut in self.tokenised.truncations}
        self._taken = 0

    @property
    def over(self) -> bool:
        """Nobody waits for it: answered, failed, or its client went away."""
        return self.future.done()

    @property
    def queries_left(self) -> int:
        """Queries not yet taken."""
        return len(self.keys) - self._taken

    @property
    def next_tokens(self) -> int:
        """Tokens of the query that `take` gives."""
        return len(self.tokenised.token_ids[self._taken])

    @property
    def next_explained(self) -> int:
        """Targets to be explained, at most, of the query that `take` gives."""
        key = self.keys[self._taken]
        return key.top_k if key.explain else 0

    def take(self) -> PendingQuery:
        """The next query."""
        position = self._taken
        self._taken += 1
        token_ids = self.tokenised.token_ids[position]
        self.tokens_left -= len(token_ids)
        return PendingQuery(self, self.keys[position], tuple(token_ids), self._truncations.get(position), position == 0)

    def answer(self, text: str, result: bytes) -> None:
        """One query is done; the last one fulfils the promise."""
        self._answers[text] = result
        if len(self._answers) == len(self.keys):
            with suppress(InvalidStateError):  # the client may go away at any moment
                self.future.set_result(self._answers)

    def fail(self, error: BaseException) -> None:
        """Give it up, unless it is over."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


@dataclass(frozen=True, eq=False)
class PendingQuery:
    """One query of a request; the unit that is computed.

    Attributes:
        key: queries with equal keys have the same answer.
        token_ids: queries with equal ids have the same token embeddings, whatever their task.
        first: of its request.
    """

    request: PendingRequest
    key: AnswerKey
    token_ids: tuple[int, ...]
    truncation: Truncation | None
    first: bool
