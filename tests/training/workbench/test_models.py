"""Models by words, encoders under interactions, other people's encoders, and WorkRB from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    Gemma3TextConfig,
    Gemma3TextModel,
    MistralConfig,
    MistralModel,
    PreTrainedModel,
    Qwen3Config,
    Qwen3Model,
)
from workrb.metrics.ranking import calculate_ranking_metrics
from workrb.tasks.abstract.ranking_base import RankingDataset as WorkRBDataset

from tests.fakes import tiny_tokenizer
from training.benchmark import measure
from training.workbench.baselines.sentence import INSTRUCTIONS, SentenceRanking, manner_of
from training.workbench.baselines.specification import build_models, parse_backend, parse_word
from training.workbench.baselines.uwe import TextEncodings, UweRanking
from training.workbench.dataset import RankingDataset
from training.workbench.evaluation import judge
from training.workbench.workrb_model import WorkRBModel
from uwe_core.errors import InputError, MissingModelError
from uwe_core.interaction import InteractionConfig
from uwe_core.model import UweModel
from uwe_core.sample import sample_rows

JOBS = [row["title"] for row in sample_rows("jobs")]
TITLES = [row["title"] for row in sample_rows("vacancy_titles")]
POSITION = {row["id"]: place for place, row in enumerate(sample_rows("jobs"))}
DATASET = RankingDataset(
    "jobnorm", "jobnorm", "test", "sample-jobs", TITLES[:40], JOBS,
    [[POSITION[row["job_id"]]] for row in sample_rows("vacancy_titles")[:40]],
)  # fmt: skip


@pytest.mark.parametrize(
    ("word", "parsed"),
    [
        ("embedded", ("embedded", None)),
        ("embedded:max_sim", ("embedded", ("max_sim", None))),
        ("a/b:soft_late_interaction@2.5", ("a/b", ("soft_late_interaction", 2.5))),
        ("folder:with:colons", ("folder:with:colons", None)),
    ],
)
def test_words_name_models_and_interactions(word: str, parsed: tuple[str, object]) -> None:
    assert parse_word(word) == parsed


def test_words_name_backends() -> None:
    assert parse_backend("embedded+openvino-int8") == ("embedded", ("openvino", "int8"))
    assert parse_backend("c++/model+torch-bfloat16") == ("c++/model", ("torch", "bfloat16"))
    for name in ("embedded", "c++/model", "embedded+torch-int8", "+torch-float32"):
        assert parse_backend(name) == (name, None)


def test_a_backend_encodes_queries_and_never_targets() -> None:
    plain, rounded = build_models(["embedded", "embedded+torch-bfloat16"], "cpu")
    assert plain.fingerprint != rounded.fingerprint
    scores = [model.scores(TITLES[:3], JOBS, "jobnorm") for model in (plain, rounded)]
    assert isinstance(plain, UweRanking)
    assert isinstance(rounded, UweRanking)
    assert plain._encodings.index(JOBS) is rounded._encodings.index(JOBS)
    assert not torch.equal(*scores)
    torch.testing.assert_close(*scores, rtol=0, atol=0.05)  # of a sum over tokens of cosines


@pytest.mark.parametrize("word", ["m:max_sim@0", "m:max_sim@-1", "m:max_sim@warm", "m:max_sim@inf", "m:max_sim@"])
def test_a_temperature_that_cannot_be_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="temperature"):
        parse_word(word)


def test_an_encoder_is_loaded_once_for_several_interactions() -> None:
    models = list(build_models(["embedded:pooled_cosine", "random", "embedded:max_sim"], "cpu"))
    assert [model.name for model in models] == ["embedded:pooled_cosine", "random", "embedded:max_sim"]
    assert models[0]._encodings is models[2]._encodings  # type: ignore[attr-defined]
    assert models[0].fingerprint != models[2].fingerprint


def test_kept_encodings_change_no_score(embedded_model: UweModel) -> None:
    kept = UweRanking("m", embedded_model, TextEncodings(embedded_model.encoder))
    anew = UweRanking("m", embedded_model, TextEncodings(embedded_model.encoder, keep_queries=False))
    first = kept.scores(TITLES[:5], JOBS, "jobnorm")
    assert torch.equal(first, kept.scores(TITLES[:5], JOBS, "jobnorm"))
    assert torch.equal(first, anew.scores(TITLES[:5], JOBS, "jobnorm"))


def save_sentence_encoder(model: UweModel, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    model.save_pretrained(folder / "base")
    transformer = Transformer(str(folder / "base"))
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder / "whole"))


def test_a_sentence_encoder_scores_as_our_pooled_cosine(embedded_model: UweModel, tmp_path: Path) -> None:
    """The same weights through sentence-transformers: an oracle that we did not write."""
    save_sentence_encoder(embedded_model, tmp_path)
    theirs = SentenceRanking(str(tmp_path / "whole"), torch.device("cpu")).scores(TITLES[:8], JOBS, "jobnorm")
    pooled = embedded_model.with_interaction(InteractionConfig(kind="pooled_cosine"))
    ours = UweRanking("ours", pooled, TextEncodings(embedded_model.encoder)).scores(TITLES[:8], JOBS, "jobnorm")
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


def test_a_model_with_branches_uses_the_one_of_each_kind_of_text(embedded_model: UweModel, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer

    embedded_model.save_pretrained(tmp_path / "base")
    transformer = Transformer(str(tmp_path / "base"))
    torch.manual_seed(0)
    branches = Router({name: [Dense(384, 16, bias=False)] for name in ("anchor", "positive")}, allow_empty_key=False)
    model = SentenceTransformer(modules=[transformer, Pooling(384, "mean"), branches], device="cpu")
    folder = tmp_path / "JobBERT-v2-tiny"
    model.save(str(folder))
    ranking = SentenceRanking(str(folder), torch.device("cpu"))
    job, skill = (ranking._encode(["nurse"], "", kind) for kind in ("job", "skill"))
    assert not torch.allclose(job, skill)
    expected = model.encode(["nurse"], task="anchor", convert_to_tensor=True, normalize_embeddings=True)
    torch.testing.assert_close(job, expected)
    # a task from jobs to jobs stays in one branch, so a text meets itself at cosine 1
    assert ranking.scores(["nurse"], ["nurse"], "jobnorm").item() == pytest.approx(1, abs=1e-5)
    assert ranking.scores(["nurse"], ["nurse"], "job2skill").item() < 0.99


def tiny_decoder(family: str) -> PreTrainedModel:
    """A randomly initialised model of the architecture of a published one."""
    shape: dict[str, Any] = {
        "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32, "pad_token_id": 1, "bos_token_id": 0,
        "eos_token_id": 2,
    }  # fmt: skip
    torch.manual_seed(0)
    match family:
        case "Qwen3-Embedding-tiny":
            return Qwen3Model(Qwen3Config(**shape))
        case "e5-mistral-tiny":
            return MistralModel(MistralConfig(**shape))
        case _:
            return Gemma3TextModel(Gemma3TextConfig(**shape, use_bidirectional_attention=True))


@pytest.mark.parametrize(
    ("family", "pooling"),
    [("Qwen3-Embedding-tiny", "lasttoken"), ("e5-mistral-tiny", "lasttoken"), ("embeddinggemma-tiny", "mean")],
)
def test_decoders_are_pooled_and_prompted_in_their_own_way(family: str, pooling: str, tmp_path: Path) -> None:
    """By hand: the prompt before the text, one forward pass, the last token or the mean, the cosine."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    backbone, tokenizer = tiny_decoder(family).eval(), tiny_tokenizer()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    backbone.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    modules = [Transformer(str(tmp_path / "base")), Pooling(16, pooling)]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / family))
    ranking = SentenceRanking(str(tmp_path / family), torch.device("cpu"))

    def embed(text: str) -> torch.Tensor:
        ids = torch.tensor([tokenizer.backend_tokenizer.encode(text).ids])
        with torch.inference_mode():
            hidden = backbone(input_ids=ids).last_hidden_state[0]
        pooled = hidden[-1] if pooling == "lasttoken" else hidden.mean(dim=0)
        return torch.nn.functional.normalize(pooled, dim=0)

    manner = manner_of(family)
    query = manner.query_prompt.format(instruction=INSTRUCTIONS["jobnorm"]) + "weld metal"
    expected = torch.stack([embed(manner.target_prompt + target) for target in ("nurse", "welder")]) @ embed(query)
    scores = ranking.scores(["weld metal"], ["nurse", "welder"], "jobnorm")[0]
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-4)


def test_instructions_go_before_queries_alone() -> None:
    assert "{instruction}" in manner_of("Qwen/Qwen3-Embedding-0.6B").query_prompt
    assert manner_of("intfloat/e5-mistral-7b-instruct").target_prompt == ""
    assert manner_of("google/embeddinggemma-300m").target_prompt
    assert manner_of("sentence-transformers/all-MiniLM-L6-v2") == manner_of("anything")


def test_a_sentence_encoder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MissingModelError):
        SentenceRanking(str(tmp_path / "nowhere"), torch.device("cpu"))


def test_cost_is_measured_without_remembering_queries(embedded_model: UweModel) -> None:
    ranking = UweRanking("m", embedded_model, TextEncodings(embedded_model.encoder, keep_queries=False))
    cost = measure(ranking, DATASET, lambda: None)
    assert cost.latency_ms > 0
    # six layers of 384 dimensions: 21 MFLOP a token, some ten tokens a query, and the scores of 160 targets
    assert 0.05 < cost.gflops < 2


def test_workrb_judges_our_model_as_we_do(embedded_model: UweModel) -> None:
    theirs = WorkRBDataset(
        list(DATASET.queries), [list(row) for row in DATASET.positives], list(DATASET.targets), dataset_id="en"
    )
    matrix = WorkRBModel(embedded_model).compute_rankings(theirs.query_texts, theirs.target_space, None, None)
    metrics = calculate_ranking_metrics(matrix, theirs.target_indices, metrics=["map", "rp@10", "mrr"])
    ours = judge(UweRanking("ours", embedded_model, TextEncodings(embedded_model.encoder)), DATASET)
    assert metrics == pytest.approx({name: ours.mean(name) for name in metrics}, abs=1e-6)
