"""The clients know every option and every field of the service, and leave alone those that come later."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service import client as uwe
from service.schemas import batch, embed, explanation, extract, origin, rank, rerank, tokens
from tests.service.client.servers import failing, ranked
from uwe_core.tasks import RankingTask


def test_every_option_of_the_service_can_be_asked_for() -> None:
    assert uwe.RankOptions.__annotations__.keys() | {"query", "queries"} == rank.RankRequest.model_fields.keys()
    assert uwe.RankItem.__annotations__.keys() == batch.RankItem.model_fields.keys()
    assert {"text", *uwe.ExtractOptions.__annotations__} == set(extract.ExtractRequest.model_fields)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (uwe.Target, rank.Target),
        (uwe.Truncated, tokens.Truncated),
        (uwe.Token, tokens.Token),
        (uwe.Contribution, explanation.Contribution),
        (uwe.ScoreExplanation, explanation.ScoreExplanation),
        (uwe.QueryResult, rank.QueryResult),
        (uwe.BatchResult, batch.BatchResult),
        (uwe.BatchResults, batch.BatchResponse),
        (uwe.ItemError, batch.ItemError),
        (uwe.Extraction, extract.ExtractResponse),
        (uwe.ExtractedSkill, extract.ExtractedSkill),
        (uwe.Evidence, extract.Evidence),
        (uwe.Word, extract.Word),
        (uwe.ModelSummary, origin.ModelSummary),
        (uwe.IndexSummary, origin.IndexSummary),
        (uwe.Task, RankingTask),
        (uwe.EmbeddedText, embed.EmbeddedText),
        (uwe.Embeddings, embed.EmbedResponse),
        (uwe.RankedText, rerank.RankedText),
    ],
)
def test_no_field_of_the_service_is_missing(ours: Any, theirs: Any) -> None:
    assert set(ours.__dataclass_fields__) == set(theirs.model_fields)


def test_later_fields_of_the_service_are_left_alone() -> None:
    body = ranked("nurse").json() | {"explanation": {"new": True}}
    client, _, _ = failing(httpx.Response(200, json=body))
    assert client.rank("t", "nurse").results[0].targets == ()
