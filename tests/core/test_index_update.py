"""The index of a space that changed is, byte for byte, the one that is made from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import TINY_LIMIT, save_tiny_model
from uwe_core.errors import EmptyTextError
from uwe_core.index_update import index_reusing
from uwe_core.model import UweModel
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.token_index import TokenIndex
from uwe_core.token_storage import StorageType

_WORDS = st.sampled_from(("nurse", "welder", "bake", "bread", "a", ",", "take"))
_TEXT = st.lists(_WORDS, min_size=1, max_size=TINY_LIMIT + 4).map(" ".join)
_TEXTS = st.lists(_TEXT, min_size=1, max_size=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> UweModel:
    return UweModel.from_pretrained(save_tiny_model("bert", tmp_path_factory.mktemp("m") / "bert"), device="cpu")


def space_of(texts: list[str]) -> TargetSpace:
    return TargetSpace(SpaceInfo(name="courses"), [f"{number}" for number in range(len(texts))], texts)


def bytes_of(index: TokenIndex, folder: Path) -> bytes:
    index.save(folder)
    return (folder / "tokens.safetensors").read_bytes()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=_TEXTS, after=_TEXTS, storage=st.sampled_from(["float32", "bfloat16", "int8"]))
def test_a_reused_index_is_the_fresh_one(
    model: UweModel, tmp_path: Path, before: list[str], after: list[str], storage: StorageType
) -> None:
    old, new = space_of(before), space_of([*after, *before[:2]])
    known = old, index_reusing(model.encoder, old, storage)
    told: list[tuple[int, int, int]] = []
    reused = index_reusing(model.encoder, new, storage, known, lambda *counts: told.append(counts))
    fresh = index_reusing(model.encoder, new, storage)
    assert bytes_of(reused, tmp_path / "reused") == bytes_of(fresh, tmp_path / "fresh")
    assert reused.manifest == fresh.manifest
    assert told[-1] == (len(new), len(new), sum(text not in before for text in new.texts))
    assert [done for done, _, _ in told] == list(range(1, len(new) + 1))


@pytest.mark.parametrize("family", ["bert", "mpnet", "modernbert"])
def test_it_is_what_precompute_makes_up_to_rounding(family: str, tmp_path: Path) -> None:
    encoder = UweModel.from_pretrained(save_tiny_model(family, tmp_path / family), device="cpu").encoder
    space = space_of(["nurse", "take blood pressure", "weld metal", "nurse", "a " * 40, "bake"])
    alone, together = index_reusing(encoder, space, "float32"), TokenIndex.build(encoder, space)
    assert alone.manifest == together.manifest
    assert torch.equal(alone.order, together.order)
    assert torch.equal(alone.offsets, together.offsets)
    torch.testing.assert_close(alone.embeddings, together.embeddings)
    torch.testing.assert_close(alone.inverse_norms, together.inverse_norms)


def test_an_index_of_another_storage_is_not_reused_and_bad_texts_are_named(model: UweModel) -> None:
    space = space_of(["nurse", "welder"])
    told: list[int] = []
    rounded = index_reusing(model.encoder, space, "bfloat16")
    index_reusing(model.encoder, space, "float32", (space, rounded), lambda _, __, encoded: told.append(encoded))
    assert told == [1, 2]
    with pytest.raises(EmptyTextError) as refused:
        index_reusing(model.encoder, space_of(["nurse", "unheard"]), "float32")
    assert refused.value.position == 1


def test_whatever_progress_raises_stops_the_work(model: UweModel) -> None:
    def stop(done: int, _: int, __: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_reusing(model.encoder, space_of(["nurse", "welder", "bread"]), "float32", None, stop)
