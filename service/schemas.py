"""What goes over the wire: requests and responses, as JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, FiniteFloat, SkipValidation, model_validator

from service.body import Body
from service.space_status import JobKind, JobState, SpaceStatus
from uwe_core.backends.interface import BackendName, BackendPrecision
from uwe_core.metadata_filter import Condition, MetadataFilter, value_text
from uwe_core.narrowing import Narrowing
from uwe_core.ranker import RankedTarget, SpaceSummary
from uwe_core.scoring.candidates import CandidateConfig
from uwe_core.target_space import SpaceInfo
from uwe_core.tasks import RankingTask
from uwe_core.token_index import StorageType

# They are part of the keys of cached answers: thousands of them must not fill the memory.
_MOST_EXCLUDED = 256
_LONGEST_EXCLUDED = 256
LONGEST_ID = 256
_MOST_FILTERED_COLUMNS, _MOST_FILTERED_VALUES, _LONGEST_FILTERED = 8, 32, 128

_FilterText = Annotated[str, Field(max_length=_LONGEST_FILTERED)]
_FilterValue = bool | int | FiniteFloat | _FilterText


class Prefix(Body):
    """A value that begins so."""

    prefix: str = Field(min_length=1, max_length=_LONGEST_FILTERED)


FilterField = Annotated[
    dict[
        Annotated[str, Field(max_length=_LONGEST_FILTERED)],
        Annotated[list[_FilterValue], Field(min_length=1, max_length=_MOST_FILTERED_VALUES)] | Prefix | _FilterValue,
    ],
    Field(
        max_length=_MOST_FILTERED_COLUMNS,
        description="Only targets with these metadata: by column a value, a list of values of which any will do, or "
        "a prefix. GET /spaces lists a space's columns.",
        examples=[{"type": ["knowledge"], "isco_group": {"prefix": "25"}}],
    ),
]


def metadata_filter(fields: FilterField) -> MetadataFilter | None:
    """The filter that a request asks for; None where it asks for none."""
    return (
        MetadataFilter(frozenset(_condition(column, wanted) for column, wanted in fields.items())) if fields else None
    )


def _condition(column: str, wanted: list[_FilterValue] | Prefix | _FilterValue) -> Condition:
    if isinstance(wanted, Prefix):
        return Condition(column, prefix=wanted.prefix)
    return Condition(column, frozenset(map(value_text, wanted if isinstance(wanted, list) else [wanted])))


class NarrowedRequest(Body):
    """Which targets of a ranking are wanted, and how much is to be said of them."""

    explain: bool = Field(
        default=False, description="Say what each pair of a query token and a target token adds to the score."
    )
    min_confidence: float | None = Field(
        default=None, ge=0, le=1, description="Least `confidence` of a target; for calibrated tasks alone."
    )
    exclude: list[Annotated[str, Field(max_length=_LONGEST_EXCLUDED)]] = Field(
        default=[],
        max_length=_MOST_EXCLUDED,
        description="Ids of targets that are never returned.",
    )
    filter: FilterField = Field(default={})

    @property
    def narrowing(self) -> Narrowing:
        """Which part of the rankings is wanted."""
        exclude, wanted = frozenset(self.exclude), metadata_filter(self.filter)
        return Narrowing(min_confidence=self.min_confidence, exclude=exclude, filter=wanted)


class PagedRequest(NarrowedRequest):
    """The same with a page of each ranking."""

    top_k: int | None = Field(default=None, ge=1, description="Targets per query; the task's default where absent.")
    offset: int = Field(default=0, ge=0, description="Pass over so many of the best targets.")
    min_score: float | None = Field(default=None, allow_inf_nan=False, description="Least `score` of a target.")

    @property
    def narrowing(self) -> Narrowing:
        """Which part of the rankings is wanted."""
        return replace(super().narrowing, offset=self.offset, min_score=self.min_score)


class RankRequest(PagedRequest):
    """One `query`, or several `queries`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "pharmacy technician", "top_k": 3},
                {"queries": ["nurse", "welder"], "top_k": 10},
                {"query": "pharmacy technician", "top_k": 3, "explain": True},
                {"query": "pharmacy technician", "filter": {"type": ["knowledge"]}},
            ]
        }
    )

    query: str | None = Field(default=None, description="A single text to rank for.")
    queries: list[str] | None = Field(default=None, min_length=1, description="Texts to rank for.")

    fingerprint: str | None = Field(
        default=None,
        description="Answer from the index of this fingerprint: the live one or the one before it; 409 without it.",
    )
    model_fingerprint: str | None = Field(default=None, description="409 unless the model has this fingerprint.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.query is None) == (self.queries is None):
            raise ValueError("give either 'query' or 'queries'")
        return self

    @property
    def texts(self) -> list[str]:
        """All queries."""
        return [self.query] if self.query is not None else self.queries or []


class RankItem(PagedRequest):
    """One query of a batch, and what is wanted of its ranking."""

    id: Annotated[str, Field(max_length=LONGEST_ID)] | int | None = Field(
        default=None, description="Given back with the answer."
    )
    query: str = Field(description="The text to rank for.")


class BatchRequest(Body):
    """Queries that are answered one by one, each with an error of its own where it cannot be ranked."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"id": "a", "query": "nurse"}, {"id": "b", "query": "welder"}]}]}
    )

    items: list[SkipValidation[RankItem]] = Field(min_length=1)  # each is validated on its own


class ExtractRequest(NarrowedRequest):
    """A vacancy whose skills are wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"text": "Your tasks:\n- You dispense medicines.\n- You advise customers.", "top_k": 5}]
        }
    )

    text: str = Field(description="The vacancy, with its line breaks.")
    task: str = Field(default="skillextract", description="Of which the sentences are the queries.")
    top_k: int = Field(default=20, ge=1, description="Skills of the vacancy.")
    per_sentence: int = Field(default=5, ge=1, description="Skills of each sentence that are looked at.")
    min_normalised_score: float | None = Field(
        default=None, ge=-1, le=1, description="Least `normalised_score` of a skill, and of a sentence as its evidence."
    )


class SpaceRankRequest(RankRequest):
    """A target space, and one `query` or several `queries`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"space": "courses", "queries": ["nurse", "welder"], "top_k": 3}]}
    )

    space: str = Field(description="Name of a space; GET /spaces lists them.")


class Token(Body):
    """A token of a query or of a target, and the characters of the text that it was made of."""

    token: str = Field(description="As the tokenizer writes it.")
    start: int | None = Field(
        description="First character, counted in Unicode code points from 0; null of a special token, not in the text."
    )
    end: int | None = Field(description="The character after the last.")


class Contribution(Body):
    """A query token that met a target token."""

    query_token: int = Field(description="Position in the result's `query_tokens`.")
    target_token: int = Field(description="Position in the explanation's `tokens`.")
    contribution: float = Field(description="What this pair adds to the score; negative where it takes from it.")


class ScoreExplanation(Body):
    """The score in parts: all of `pairs` and all of `rest` sum to it, up to rounding."""

    tokens: list[Token] = Field(description="The target's tokens.")
    pairs: list[Contribution] = Field(
        description="Those of at least a hundredth of all contributions, signs left aside; largest first."
    )
    rest: list[float] = Field(description="Per query token, what its smaller pairs add together.")


class Target(Body):
    """A ranked target."""

    id: str
    text: str
    score: float = Field(description="The model's own score; grows with the length of the query.")
    normalised_score: float = Field(description="In [-1, 1], comparable between queries.")
    rank: int = Field(description="1 is best.")
    metadata: dict[str, Any]
    confidence: float | None = Field(
        default=None, description="Probability of being relevant; null where the model was not calibrated for the task."
    )
    explanation: ScoreExplanation | None = Field(default=None, description="Where `explain` was asked for.")
    matched_alias: str | None = Field(
        default=None, description="The alias to which it owes its score; null where its own text is as good."
    )

    @classmethod
    def of(cls, target: RankedTarget) -> Self:
        """Of a target that the ranker returned."""
        return cls.model_validate(target)


class Truncated(Body):
    """The query was longer than the encoder's limit, and only its beginning was read."""

    tokens: int
    kept_tokens: int


class QueryResult(Body):
    """The ranking of one query."""

    query: str
    targets: list[Target]
    truncated: Truncated | None = None
    query_tokens: list[Token] | None = Field(
        default=None, description="The query's tokens, those that were read; where `explain` was asked for."
    )


class ModelSummary(Body):
    """The model that ranked."""

    name: str
    fingerprint: str


class IndexSummary(Body):
    """The token index that was ranked."""

    space: str | None = Field(description="Null where the targets came with the request.")
    fingerprint: str


class RankResponse(Body):
    """Rankings in the order of the queries."""

    task: str = Field(description="`zero-shot` where none was named.")
    model: ModelSummary
    index: IndexSummary
    results: list[QueryResult]


class ItemError(Body):
    """Why an item has no ranking."""

    code: str
    message: str


class BatchResult(Body):
    """The answer to one item: a ranking, or an error."""

    line: int | None = Field(default=None, description="Of the request, from 1; where items are lines.")
    id: str | int | None = Field(description="Of the item, where it could be read.")
    result: QueryResult | None
    error: ItemError | None


class BatchResponse(Body):
    """Answers in the order of the items."""

    task: str
    model: ModelSummary
    index: IndexSummary
    results: list[BatchResult]


class Word(Body):
    """A word of a sentence, by its place in the vacancy."""

    start: int = Field(description="First character, counted in Unicode code points from 0.")
    end: int = Field(description="The character after the last.")
    text: str
    contribution: float = Field(description="What its tokens add to the score; negative where they take from it.")


class Evidence(Body):
    """A sentence that a skill came from, by its place in the vacancy."""

    start: int = Field(description="First character, counted in Unicode code points from 0.")
    end: int = Field(description="The character after the last.")
    text: str
    score: float = Field(description="The model's own score; grows with the length of the sentence.")
    normalised_score: float
    confidence: float | None = None
    matched_alias: str | None = None
    truncated: Truncated | None = None
    words: list[Word] | None = Field(
        default=None, description="Largest contribution first, special tokens left out; where `explain` was asked for."
    )


class ExtractedSkill(Body):
    """A skill of the vacancy, or whatever the task ranks."""

    id: str
    text: str
    normalised_score: float = Field(description="The best of its sentences, in [-1, 1].")
    confidence: float | None = Field(default=None, description="Of the best sentence.")
    rank: int = Field(description="1 is best.")
    metadata: dict[str, Any]
    evidence: list[Evidence] = Field(description="Best sentence first.")


class ExtractResponse(Body):
    """The skills of a vacancy, best first."""

    task: str
    model: ModelSummary
    index: IndexSummary
    sentences: int = Field(description="That were ranked; headings are not.")
    skills: list[ExtractedSkill]


class TaskList(Body):
    """All tasks."""

    tasks: list[RankingTask]


class Space(SpaceInfo):
    """A loaded target space and its token index."""

    fingerprint: str
    index_fingerprint: str
    storage: StorageType
    targets: int
    tokens: int
    index_bytes: int
    candidates: CandidateConfig | None = Field(
        default=None, description="How targets are proposed that are then scored; null where every target is scored."
    )
    columns: list[str] = Field(description="Metadata of its targets, by which rankings may be filtered.")
    aliases: int = Field(description="By which its targets are matched beside their own texts.")

    editable: bool = Field(default=False, description="Uploaded, and so to be changed by requests.")
    warnings: list[str] = Field(default=[], description="What to know before its rankings are believed.")
    previous_fingerprint: str | None = Field(
        default=None, description="Of the index before, which `fingerprint` may still name in requests."
    )
    previous_until: datetime | None = Field(default=None, description="Until when it may.")

    @classmethod
    def of(cls, summary: SpaceSummary, status: SpaceStatus) -> Self:
        """Of what the ranker tells of a space, and what is known beside it."""
        return cls(
            **summary.info.model_dump(),
            fingerprint=summary.fingerprint,
            index_fingerprint=summary.index_fingerprint,
            storage=summary.dtype,
            targets=summary.targets,
            tokens=summary.tokens,
            index_bytes=summary.nbytes,
            candidates=summary.candidates,
            columns=list(summary.columns),
            aliases=summary.aliases,
            editable=status.editable,
            warnings=list(status.warnings),
            previous_fingerprint=status.previous_fingerprint,
            previous_until=status.previous_until,
        )


class JobFailure(Body):
    """Why a job failed."""

    code: str
    message: str


class JobStatus(Body):
    """A change of a target space, and how far it is."""

    id: str
    space: str
    kind: JobKind
    state: JobState
    done: int = Field(description="Texts that are indexed: targets and their aliases.")
    total: int = Field(description="Texts of the version that is made; 0 until that is known.")
    encoded: int = Field(description="Of the texts that are done, those that were not known.")
    created: datetime
    started: datetime | None
    finished: datetime | None
    fingerprint: str | None = Field(description="Of the index that became live.")
    error: JobFailure | None


class JobList(Body):
    """The last jobs, newest first."""

    jobs: list[JobStatus]


class SpaceList(Body):
    """All loaded target spaces."""

    spaces: list[Space]


class Health(Body):
    """The process is alive."""

    status: str = "alive"


class EncodingTrial(Body):
    """What was measured at start of one way to encode queries."""

    backend: BackendName
    precision: BackendPrecision
    milliseconds: dict[str, float] = Field(description="Medians: one text of 8 tokens, one of 30, and 16 texts.")
    speedup: float = Field(description="Over torch in float32, geometric mean.")
    error: float = Field(description="The most that a token's cosine with torch in float32 falls short of 1.")


class Readiness(Body):
    """Requests can be answered, and with what."""

    status: str = "ready"
    model: ModelSummary
    device: str
    backend: BackendName = Field(description="What encodes queries.")
    precision: BackendPrecision
    threads: int
    processor: list[str] = Field(description="Of the instruction sets that matter, those the processor has.")
    trials: list[EncodingTrial] = Field(description="What was measured to choose; empty where settings left no choice.")


class ErrorDetail(Body):
    """What went wrong."""

    code: str
    message: str
    request_id: str


class ErrorResponse(Body):
    """The body of every error."""

    error: ErrorDetail
