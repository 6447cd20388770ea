"""What a client's calls return."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Token:
    """A token of a query or of a target, and the characters of the text that it was made of.

    Attributes:
        token: as the tokenizer writes it.
        start: first character, in code points from 0; None of a special token, which is not in the text.
        end: the character after the last.
    """

    token: str
    start: int | None
    end: int | None


@dataclass(frozen=True)
class Contribution:
    """A query token that met a target token, by their positions, and what the pair adds to the score."""

    query_token: int
    target_token: int
    contribution: float


@dataclass(frozen=True)
class ScoreExplanation:
    """A score in parts: all of `pairs` and all of `rest` sum to it.

    Attributes:
        tokens: of the target.
        pairs: the larger ones, largest first.
        rest: per query token, what its smaller pairs add together.
    """

    tokens: tuple[Token, ...]
    pairs: tuple[Contribution, ...]
    rest: tuple[float, ...]


@dataclass(frozen=True)
class Target:
    """A ranked target.

    Attributes:
        score: the model's own score; grows with the length of the query.
        normalised_score: in [-1, 1], comparable between queries.
        rank: 1 is best.
        confidence: probability of being relevant; None where the model was not calibrated for the task.
        explanation: where it was asked for.
    """

    id: str
    text: str
    score: float
    normalised_score: float
    rank: int
    metadata: Mapping[str, Any]
    confidence: float | None = None
    explanation: ScoreExplanation | None = None


@dataclass(frozen=True)
class Truncated:
    """The query was longer than the encoder's limit, and only its beginning was read."""

    tokens: int
    kept_tokens: int


@dataclass(frozen=True)
class QueryResult:
    """The ranking of one query, best target first; with the query's tokens where an explanation was asked for."""

    query: str
    targets: tuple[Target, ...]
    truncated: Truncated | None
    query_tokens: tuple[Token, ...] | None = None


@dataclass(frozen=True)
class ModelSummary:
    """The model that ranked."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class IndexSummary:
    """The token index that was ranked; its space is None where the targets came with the request."""

    space: str | None
    fingerprint: str


@dataclass(frozen=True)
class Rankings:
    """The answer to one request: results in the order of the queries.

    The same fingerprints of model and index give the same rankings.

    Attributes:
        task: `zero-shot` where none was named.
    """

    task: str
    model: ModelSummary
    index: IndexSummary
    results: tuple[QueryResult, ...]


@dataclass(frozen=True)
class RankedText:
    """One of the texts that were reranked.

    Attributes:
        index: its position among them.
        score: normalised, in [-1, 1], unless the raw one was asked for.
    """

    index: int
    score: float
    text: str


@dataclass(frozen=True)
class EmbeddedText:
    """The vector of a text, or those of its tokens; arrays of 4-byte floats, which numpy reads without a copy.

    Attributes:
        embedding: the mean of its tokens; None where its tokens were asked for.
        tokens: its tokens, where they were asked for.
        token_embeddings: a vector for each of them.
    """

    text: str
    embedding: array[float] | None
    tokens: tuple[Token, ...] | None
    token_embeddings: tuple[array[float], ...] | None
    truncated: Truncated | None


@dataclass(frozen=True)
class Embeddings:
    """Vectors in the order of the texts.

    Attributes:
        dimension: components of a vector.
        normalised: whether every vector has length 1.
    """

    model: ModelSummary
    dimension: int
    normalised: bool
    results: tuple[EmbeddedText, ...]


@dataclass(frozen=True)
class Task:
    """A task of the service.

    Attributes:
        queries: what a query is, for people.
        exclude_query: whether the target whose text is the query itself is left out.
    """

    name: str
    description: str
    queries: str
    target_space: str
    exclude_query: bool
    default_top_k: int
    example: str | None


@dataclass(frozen=True)
class Space:
    """A target space of the service.

    Attributes:
        index_fingerprint: what `fingerprint` names in requests.
        editable: uploaded, and so to be changed by requests.
        warnings: what to know before its rankings are believed.
        previous_fingerprint: of the version before, which requests may name still; None where there is none.
    """

    name: str
    kind: str
    language: str
    licence: str | None
    attribution: str | None
    fingerprint: str
    index_fingerprint: str
    targets: int
    editable: bool
    warnings: tuple[str, ...]
    previous_fingerprint: str | None


@dataclass(frozen=True)
class Job:
    """A change of a space, and how far it was when it was asked for.

    Attributes:
        kind: `put`, `patch` or `delete`.
        state: `queued`, `running`, `finished`, `failed` or `cancelled`.
        done, total: targets of the version that is made.
        encoded: of those that are done, the ones whose text was not known.
        fingerprint: of the index that became live.
        error: why it failed, as code and message.
    """

    id: str
    space: str
    kind: str
    state: str
    done: int
    total: int
    encoded: int
    fingerprint: str | None
    error: tuple[str, str] | None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in ("queued", "running")


@dataclass(frozen=True)
class Readiness:
    """The service answers requests, and with what."""

    model: ModelSummary
    device: str
    backend: str
    precision: str
    threads: int
