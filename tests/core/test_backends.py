"""Every backend computes what transformers does in float32, within its precision's tolerance, and keeps its export."""

from __future__ import annotations

import copy
import importlib.util
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tests.fakes import FAMILIES, TINY_LIMIT, save_tiny_model
from uwe_core.backends import openvino_backend
from uwe_core.backends.interface import PRECISIONS, TOLERANCES, BackendName, BackendPrecision, EncoderBackend
from uwe_core.backends.making import is_available, make_backend, runs_on
from uwe_core.backends.openvino_backend import rounded_rows
from uwe_core.backends.packed_texts import pack
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ConfigurationError
from uwe_core.model import UweModel
from uwe_core.sample import sample_jobs
from uwe_core.scoring import Scorer, make_scorer
from uwe_core.token_index import TokenIndex

PACKED_FAMILIES = [family for family in FAMILIES if family != "modernbert"]
ON_CPU = [name for name in PRECISIONS if runs_on(name, "cpu")]
ALL = [(name, precision) for name in ON_CPU for precision in PRECISIONS[name]]
WORDS = range(3, 24)  # ids of the tiny vocabulary, special ones but the first three included
TEXTS = [
    "pharmacy technician", "weld pipes in shipyards and check the seams", "nurse", "data engineer (m/f/d)",
    "we look for somebody who plans deliveries, talks to drivers and keeps the fleet in order", "Koch / Köchin",
]  # fmt: skip
# Of the ten best, the part that must be the same, on average.
AGREEMENT: dict[BackendPrecision, float] = {"float32": 1.0, "bfloat16": 0.95, "int8": 0.8}
# Exporting to ONNX takes seconds, so two families must do there: MPNet's has all that the others have, and a bias.
RAGGED_CASES = [
    *((family, name, precision) for family in PACKED_FAMILIES for name, precision in ALL if name != "onnx"),
    ("bert", "onnx", "float32"), ("bert", "onnx", "int8"), ("mpnet", "onnx", "float32"),
]  # fmt: skip
REAL_CASES = [
    *(way for way in ALL if way[0] != "onnx"),
    pytest.param("onnx", "int8", marks=pytest.mark.heavy),  # made from float32's export, which is tested so too
]
# Texts begin as the tokenizer has them begin, and hold the padding token as a word now and then.
RAGGED = st.lists(
    st.lists(st.sampled_from([1, *WORDS]), max_size=TINY_LIMIT - 1).map(lambda ids: [0, *ids]), min_size=1, max_size=8
)

Made = Callable[[str, BackendName, BackendPrecision], tuple[TokenEncoder, EncoderBackend]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Tiny encoders and their backends, each made once."""
    root = tmp_path_factory.mktemp("backends")
    encoders: dict[str, TokenEncoder] = {}
    backends: dict[tuple[str, BackendName, BackendPrecision], EncoderBackend] = {}

    def make(family: str, name: BackendName, precision: BackendPrecision) -> tuple[TokenEncoder, EncoderBackend]:
        skip_without(name)
        if family not in encoders:
            folder = save_tiny_model(family, root / family)
            encoders[family] = UweModel.from_pretrained(folder, device="cpu").encoder
        if (family, name, precision) not in backends:
            made = made_or_skipped(encoders[family], name, precision, root / "exports")
            backends[family, name, precision] = made
        return encoders[family], backends[family, name, precision]

    return make


def skip_without(name: BackendName) -> None:
    if not is_available(name):
        pytest.skip(f"the extra [{name}] is not installed")


def made_or_skipped(
    encoder: TokenEncoder, name: BackendName, precision: BackendPrecision, root: Path
) -> EncoderBackend:
    try:
        return make_backend(encoder, name, precision, threads=1, exports=root)
    except ConfigurationError as error:
        if precision == "bfloat16":
            pytest.skip(str(error))
        raise


@torch.inference_mode()
def shortfall(encoder: TokenEncoder, backend: EncoderBackend, token_ids: Sequence[Sequence[int]]) -> float:
    found, wanted = backend.encode(token_ids), encoder.hidden(token_ids)
    assert found.dtype == torch.float32
    assert found.shape == wanted.shape
    return float((1 - cosine_similarity(found, wanted, dim=1)).max())


@pytest.mark.parametrize(("family", "name", "precision"), RAGGED_CASES)
def test_ragged_batches_equal_transformers_in_float32(
    family: str, name: BackendName, precision: BackendPrecision, made: Made
) -> None:
    encoder, backend = made(family, name, precision)

    @settings(max_examples=25)
    @given(RAGGED)
    def check(token_ids: list[list[int]]) -> None:
        assert shortfall(encoder, backend, token_ids) <= TOLERANCES[precision]

    check()


@pytest.mark.parametrize(("name", "precision"), ALL)
def test_a_later_call_leaves_earlier_embeddings_alone(
    name: BackendName, precision: BackendPrecision, made: Made
) -> None:
    _, backend = made("bert", name, precision)
    first = backend.encode([[0, 5, 6, 2]])
    kept = first.clone()
    backend.encode([[0, 9, 9, 2]])
    assert torch.equal(first, kept)


@pytest.mark.parametrize("precision", PRECISIONS["torch"])
def test_an_encoder_of_another_kind_runs_in_torch_alone(precision: BackendPrecision, made: Made) -> None:
    encoder, backend = made("modernbert", "torch", precision)
    assert shortfall(encoder, backend, [[0, 5, 6, 2], [0, 7, 2]]) <= TOLERANCES[precision]
    assert encoder.dtype == torch.float32
    with pytest.raises(ConfigurationError, match="modernbert"):
        made("modernbert", "openvino", "float32")


def test_an_encoder_uses_its_backend_until_its_weights_change(made: Made) -> None:
    encoder, _ = made("bert", "torch", "float32")

    class Ones:
        name: BackendName = "torch"
        precision: BackendPrecision = "float32"

        def encode(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
            return torch.ones(sum(len(ids) for ids in token_ids), encoder.dim)

    fingerprint, tokenised = encoder.fingerprint, encoder.tokenise(["nurse", "weld metal"])
    encoder.backend = Ones()
    assert encoder.fingerprint == fingerprint
    assert (encoder.encode(tokenised).embeddings == 1).all()
    encoder.weights_changed()
    assert not (encoder.encode(tokenised).embeddings == 1).all()


def test_an_export_is_made_once_and_again_only_where_it_is_broken(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name: BackendName = "openvino"
    encoder, backend = made("bert", name, "float32")
    exports: list[Path] = []
    original = openvino_backend._export

    def counted(encoder: TokenEncoder, precision: BackendPrecision, path: Path) -> None:
        exports.append(path)
        original(encoder, precision, path)

    monkeypatch.setattr(openvino_backend, "_export", counted)

    def embeddings() -> Tensor:
        return make_backend(encoder, name, "float32", threads=1, exports=tmp_path).encode([[0, 5, 2]])

    for _ in range(2):
        assert torch.equal(embeddings(), backend.encode([[0, 5, 2]]))
    assert len(exports) == 1
    (folder,) = next(tmp_path.iterdir()).iterdir()
    for damage in (b"", None):
        for path in folder.iterdir():
            path.unlink() if damage is None else path.write_bytes(damage)
        with caplog.at_level(logging.WARNING):
            assert torch.equal(embeddings(), backend.encode([[0, 5, 2]]))
        assert "again" in caplog.messages[-1]
    assert len(exports) == 3
    (only,) = next(tmp_path.iterdir()).iterdir()
    assert only == folder


def test_exports_of_other_weights_and_precisions_lie_apart(made: Made, tmp_path: Path) -> None:
    skip_without("openvino")
    other = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "other", seed=1), device="cpu").encoder
    encoder, _ = made("bert", "openvino", "float32")
    for one, precision in ((encoder, "float32"), (encoder, "int8"), (other, "float32")):
        make_backend(one, "openvino", precision, threads=1, exports=tmp_path / "exports")  # type: ignore[arg-type]
    assert sorted(len(list(folder.iterdir())) for folder in (tmp_path / "exports").iterdir()) == [1, 2]


@pytest.mark.parametrize(("name", "precision"), [("torch", "int8"), ("onnx", "bfloat16")])
def test_a_precision_that_a_backend_has_not_is_an_error(
    name: BackendName, precision: BackendPrecision, made: Made, tmp_path: Path
) -> None:
    encoder, _ = made("bert", "torch", "float32")
    with pytest.raises(ConfigurationError, match=f"'{name}' has no {precision}"):
        make_backend(encoder, name, precision, threads=1, exports=tmp_path)


def test_a_backend_whose_extra_is_absent_names_it(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, _ = made("bert", "torch", "float32")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"\[onnx\]"):
        make_backend(encoder, "onnx", "float32", threads=1, exports=tmp_path)


@given(RAGGED, st.sampled_from([None, 1]))
def test_packing_by_hand(token_ids: list[list[int]], padding_id: int | None) -> None:
    packed = pack(token_ids, padding_id)
    positions, place = [], 0
    for text, ids in enumerate(token_ids):
        counted = 0
        for column, token in enumerate(ids):
            counted += token != padding_id
            positions.append(column if padding_id is None else padding_id + counted * (token != padding_id))
            assert packed.rows[text, column] == place
            assert packed.ids[place] == token
            assert packed.places[place] == text * packed.rows.shape[1] + column
            place += 1
        assert (packed.bias[text, 0, 0, : len(ids)] == 0).all()
        assert np.isneginf(packed.bias[text, 0, 0, len(ids) :]).all()
    assert packed.positions.tolist() == positions
    assert len(packed.ids) == place


def test_rounded_weights_are_the_nearest() -> None:
    weights = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    weights[3] = 0
    whole, scales = rounded_rows(weights)
    assert whole.dtype == np.int8
    assert scales.dtype == np.float32
    assert scales.shape == (5, 1)
    assert (np.abs(whole * scales - weights) <= scales / 2 * 1.001).all()
    assert np.abs(whole[:3]).max(axis=1).tolist() == [127, 127, 127]


@pytest.mark.parametrize("precision", PRECISIONS["torch"])
def test_the_backbone_stays_as_it_was(precision: BackendPrecision, tmp_path: Path) -> None:
    encoder = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "model"), device="cpu").encoder
    before = encoder.hidden([[0, 5, 2]])
    make_backend(encoder, "torch", precision, threads=1, exports=tmp_path).encode([[0, 5, 2]])
    assert torch.equal(encoder.hidden([[0, 5, 2]]), before)
    assert all(weight.requires_grad and weight.dtype == torch.float32 for weight in encoder.backbone.parameters())


@pytest.fixture(scope="module")
def jobs(embedded_model: UweModel) -> Scorer:
    return make_scorer(TokenIndex.build(embedded_model.encoder, sample_jobs()), embedded_model.interaction)


@pytest.mark.parametrize(("name", "precision"), REAL_CASES)
def test_real_weights_keep_embeddings_and_the_ten_best(
    name: BackendName, precision: BackendPrecision, embedded_model: UweModel, jobs: Scorer, tmp_path: Path
) -> None:
    skip_without(name)
    encoder = copy.copy(embedded_model.encoder)
    encoder.backend = made_or_skipped(encoder, name, precision, tmp_path)
    tokenised = encoder.tokenise(TEXTS)
    assert shortfall(encoder, encoder.backend, tokenised.token_ids) <= TOLERANCES[precision]
    found, wanted = (jobs.score(each.encode(tokenised)).topk(10).indices for each in (encoder, embedded_model.encoder))
    shared = [len(set(row.tolist()) & set(other.tolist())) for row, other in zip(found, wanted, strict=True)]
    assert sum(shared) >= AGREEMENT[precision] * 10 * len(TEXTS)


@pytest.mark.mpnet
@pytest.mark.parametrize("name", ON_CPU)
def test_mpnet_with_its_distance_bias(name: BackendName, mpnet_dir: Path, tmp_path: Path) -> None:
    skip_without(name)
    encoder = UweModel.from_pretrained(mpnet_dir, device="cpu").encoder
    backend = make_backend(encoder, name, "float32", threads=1, exports=tmp_path)
    long_text = " ".join(TEXTS * 4)  # beyond the distances that have a bias of their own
    assert shortfall(encoder, backend, encoder.tokenise([*TEXTS, long_text]).token_ids) <= TOLERANCES["float32"]
