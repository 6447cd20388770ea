"""A ranker without weights behind the real application."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
import torch
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.fakes import save_tiny_model
from uwe_core.backends.choosing import EncodingSummary, Trial
from uwe_core.encoder import TokenisedTexts, Truncation
from uwe_core.errors import EmptyTextError, InvalidTextError, UnknownTaskError
from uwe_core.explanation import Explanation, Pair, TargetExplanation
from uwe_core.interaction import InteractionConfig
from uwe_core.model import UweModel
from uwe_core.narrowing import WHOLE, Narrowing
from uwe_core.ranker import RankableSpace, RankedTarget, Ranker, RankerDescription, SpaceSummary
from uwe_core.served_spaces import ServedSpaces
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import RankingTask, standard_tasks
from uwe_core.text import unreadable_reason
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex
from uwe_core.token_span import TokenSpan

TARGETS = 30
METADATA = pa.table(
    {"number": range(TARGETS), "parity": [["odd"] if number % 2 else ["even"] for number in range(TARGETS)]}
)
ENCODING = EncodingSummary(
    "onnx", "int8", 3, ("avx2", "avx512f"), (Trial("onnx", "int8", {"1x8": 2.0, "16": 30.0}, 1.5, 0.25),)
)


def numbered(name: str) -> TargetSpace:
    """30 targets with the ids T0 to T29."""
    info = SpaceInfo(name=name, licence="CC0-1.0", attribution="by us")
    ids, texts = ([f"{kind}{number}" for number in range(TARGETS)] for kind in ("T", "target "))
    return TargetSpace(info, ids, texts, METADATA)


class FakeSpace:
    """A version of a space without an index."""

    def __init__(self, space: TargetSpace) -> None:
        self.space = space
        self.name = space.info.name
        self.fingerprint = "b" * 64
        self.columns = tuple(space.metadata.column_names)

    def summary(self) -> SpaceSummary:
        targets = len(self.space)
        return SpaceSummary(
            self.space.info, "a" * 64, self.fingerprint, "float32", targets, 90, 999, columns=self.columns
        )


SPACES: dict[str, Any] = {name: FakeSpace(numbered(name)) for name in ("sample-skills", "sample-jobs")}


class FakeRanker:
    """Ranks targets by how near their number is to the length of the query; a token is a character.

    It explains half of a score by the first tokens of both texts; `jobnorm` alone is calibrated.

    Attributes:
        fails: raised by the next pass of the encoder, once.
        poison: a text that fails every pass it is in.
        release: passes of the encoder wait until it is set.
        started: set by the first pass.
        passes: the texts of each pass of the encoder.
        scored: the space and the number of queries of each call of `score`.
        explained: the query and the targets of each call of `explain`.
    """

    tasks: Mapping[str, RankingTask] = standard_tasks("sample")
    calibrated_tasks = frozenset({"jobnorm"})

    def __init__(self) -> None:
        self.description = RankerDescription("fake", "f" * 64, "cpu", ENCODING)
        self.served: Any = ServedSpaces(SPACES)
        self.model: Any = None
        self.fails: BaseException | None = None
        self.poison: str | None = None
        self.release = threading.Event()
        self.release.set()
        self.started = threading.Event()
        self.passes: list[list[str]] = []
        self.scored: list[tuple[str, int]] = []
        self.explained: list[tuple[str, list[str]]] = []

    @property
    def ranked(self) -> list[str]:
        """Every text that was encoded."""
        return [text for texts in self.passes for text in texts]

    def task(self, name: str) -> Any:
        if name not in self.tasks:
            raise UnknownTaskError(name, sorted(self.tasks))
        return self.tasks[name]

    def space_summaries(self) -> dict[str, SpaceSummary]:
        return {name: space.summary() for name, space in self.served.live.items()}

    def spans(self, texts: Sequence[str]) -> list[list[TokenSpan]]:
        return [characters(text) for text in texts]

    def tokenise(self, queries: Sequence[str], most_tokens: int | None = None) -> TokenisedTexts:
        for position, query in enumerate(queries):
            reason = unreadable_reason(query)
            if reason is not None:
                raise (InvalidTextError if query.strip() else EmptyTextError)(position, reason)
        cuts = [Truncation(position, 600, 512) for position, query in enumerate(queries) if "long" in query]
        return TokenisedTexts([[ord(character) for character in query][:most_tokens] for query in queries], cuts)

    def given(self, space: TargetSpace, tokens: Sequence[torch.Tensor]) -> Any:
        assert [len(each) for each in tokens] == [len(text) for text in space.texts]
        return FakeSpace(space)

    def encode(self, tokenised: TokenisedTexts) -> TokenEmbeddings:
        self.started.set()
        assert self.release.wait(timeout=20)
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        texts = ["".join(map(chr, ids)) for ids in tokenised.token_ids]
        if self.poison in texts:
            raise ArithmeticError(f"poisoned by {self.poison}")
        self.passes.append(texts)
        return TokenEmbeddings.from_texts([torch.tensor(ids).float()[:, None] for ids in tokenised.token_ids])

    def score(self, space: Any, queries: TokenEmbeddings) -> torch.Tensor:
        self.scored.append((space.name, len(queries)))
        return -(queries.token_counts[:, None] - torch.arange(len(space.space))[None, :]).abs().float()

    def select(
        self,
        rankable: Any,
        task: RankingTask,
        query: str,
        scores: Any,
        query_tokens: int,
        top_k: int,
        narrowing: Narrowing = WHOLE,
    ) -> list[RankedTarget]:
        assert query_tokens == len(query)
        space = rankable.space
        mask = None if narrowing.filter is None else narrowing.filter.mask(space.metadata)
        order = [
            number
            for number in sorted(range(len(space)), key=lambda number: (-float(scores[number]), number))
            if space.ids[number] not in narrowing.exclude and (mask is None or mask[number])
        ]
        page = order[narrowing.offset : narrowing.offset + top_k]
        ranking = [
            RankedTarget(
                space.ids[number],
                space.texts[number],
                1.0 / rank,
                0.5 / rank,
                rank,
                metadata,
                confidence=0.75 / rank if task.name == "jobnorm" else None,
            )
            for rank, (number, metadata) in enumerate(
                zip(page, space.metadata_of(page), strict=True), start=narrowing.offset + 1
            )
        ]
        return [target for target in ranking if narrowing.accepts(target.score, target.confidence)]

    def explain(
        self, rankable: Any, query: str, query_tokens: torch.Tensor, targets: Sequence[RankedTarget]
    ) -> Explanation:
        assert [[ord(character)] for character in query] == query_tokens.tolist()
        self.explained.append((query, [target.id for target in targets]))
        return Explanation(
            characters(query),
            [
                TargetExplanation(
                    characters(target.text),
                    [Pair(0, 0, target.score / 2)],
                    [0.0] * (len(query) - 1) + [target.score / 2],
                )
                for target in targets
            ],
        )


def characters(text: str) -> list[TokenSpan]:
    """The tokens of the fake ranker."""
    return [TokenSpan(character, place, place + 1) for place, character in enumerate(text)]


@pytest.fixture
def ranker() -> FakeRanker:
    return FakeRanker()


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Ranker:
    """A ranker with a real encoder, random and tiny, of the task `words` over three targets."""
    folder = save_tiny_model("bert", tmp_path_factory.mktemp("model") / "bert")
    model = UweModel.from_pretrained(folder, device="cpu").with_interaction(
        InteractionConfig(interaction_temperature=1)
    )
    space = TargetSpace(SpaceInfo(name="words"), ["0", "1", "2"], ["nurse", "weld metal", "bake bread"])
    task = RankingTask(name="words", description="Words.", queries="words", target_space="words")
    rankable = RankableSpace(model, space, TokenIndex.build(model.encoder, space))
    return Ranker(model, {"words": rankable}, {"words": task})


@pytest.fixture(scope="module")
def words_client(words: Ranker) -> Iterator[TestClient]:
    """The application over that ranker."""
    settings = Settings(
        max_queries=5, max_query_chars=400, max_inline_targets=12, max_inline_chars=600, max_embedded_tokens=60
    )
    with TestClient(create_app(settings, words), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def settings() -> Settings:
    return Settings(max_queries=5, max_query_chars=50, max_top_k=100, max_body_bytes=2000, max_waiting=2)


@pytest.fixture
def client(ranker: FakeRanker, settings: Settings) -> Iterator[TestClient]:
    """The application as a server runs it; faults are answered, not raised."""
    with TestClient(create_app(settings, ranker), raise_server_exceptions=False) as client:
        yield client
