"""Fixed shapes change nothing: buckets hold what they should, and a replay computes this call's texts alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_backends import PACKED_FAMILIES, shortfall
from tests.fakes import TINY_LIMIT, save_tiny_model
from uwe_core.backends.choosing import candidates
from uwe_core.backends.cuda_graphs import Compute, CudaGraphs, CudaRecorder, Recording
from uwe_core.backends.graph_buckets import MOST_TOKENS, TEXTS, Bucket, buckets_up_to, laid_out, smallest_fit
from uwe_core.backends.interface import TOLERANCES, BackendPrecision
from uwe_core.backends.making import make_backend
from uwe_core.backends.packed_texts import pack
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ConfigurationError
from uwe_core.model import UweModel

# More texts than the largest bucket has, and ids of the tiny vocabulary with the padding token among them.
RAGGED = st.lists(
    st.lists(st.integers(1, 23), max_size=TINY_LIMIT - 1).map(lambda ids: [0, *ids]), min_size=1, max_size=TEXTS[-1] + 2
)


def recomputing(compute: Compute) -> Recording:
    """What a recording does, without a GPU: the same computation from the same memory into the same memory."""
    output = compute().clone()
    return lambda: output.copy_(compute()), output


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TokenEncoder]:
    made: dict[str, TokenEncoder] = {}

    def encoder(family: str) -> TokenEncoder:
        if family not in made:
            folder = save_tiny_model(family, tmp_path_factory.mktemp("models") / family)
            made[family] = UweModel.from_pretrained(folder, device="cpu").encoder
        return made[family]

    return encoder


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", PACKED_FAMILIES)
def test_replays_equal_transformers_whatever_was_computed_before(
    family: str, precision: BackendPrecision, encoders: Callable[[str], TokenEncoder]
) -> None:
    encoder = encoders(family)
    backend = CudaGraphs(encoder, precision, recomputing)

    @settings(max_examples=25)
    @given(RAGGED)
    def check(token_ids: list[list[int]]) -> None:
        assert shortfall(encoder, backend, token_ids) <= TOLERANCES[precision]

    check()


def test_everything_is_recorded_before_the_first_call(encoders: Callable[[str], TokenEncoder]) -> None:
    recorded = []

    def record(compute: Compute) -> Recording:
        recorded.append(compute)
        return recomputing(compute)

    backend = CudaGraphs(encoders("bert"), "float32", record)
    assert len(recorded) == len(buckets_up_to(TINY_LIMIT))
    backend.encode([[0, 5, 2]])
    backend.encode([[0, 5, 2]] * (TEXTS[-1] + 1))
    assert len(recorded) == len(buckets_up_to(TINY_LIMIT))


def test_a_recording_that_computes_something_else_is_refused(encoders: Callable[[str], TokenEncoder]) -> None:
    def record_once(compute: Compute) -> Recording:
        """Of another device's stream, say: nothing is recorded, and what was computed then comes out for ever."""
        output = compute().clone()
        return lambda: None, output

    with pytest.raises(ConfigurationError, match="off by"):
        CudaGraphs(encoders("bert"), "float32", record_once)


def test_a_later_call_leaves_earlier_embeddings_alone(encoders: Callable[[str], TokenEncoder]) -> None:
    backend = CudaGraphs(encoders("bert"), "float32", recomputing)
    first = backend.encode([[0, 5, 6, 2]])
    kept = first.clone()
    backend.encode([[0, 9, 9, 2]])
    assert torch.equal(first, kept)


def test_calls_at_the_same_time_each_get_their_own(encoders: Callable[[str], TokenEncoder]) -> None:
    backend = CudaGraphs(encoders("mpnet"), "float32", recomputing)
    texts = [[[0, word, word + 1, 2]] for word in range(4, 12)]
    wanted = [backend.encode(text) for text in texts]

    def is_right(number: int) -> bool:
        return all(torch.equal(backend.encode(texts[number]), wanted[number]) for _ in range(50))

    with ThreadPoolExecutor(len(texts)) as threads:
        assert all(threads.map(is_right, range(len(texts))))


@given(st.integers(3, 600))
def test_buckets_grow_by_no_more_than_double(max_tokens: int) -> None:
    buckets = buckets_up_to(max_tokens)
    assert [grid.tokens for grid in buckets] == sorted((grid.tokens for grid in buckets), reverse=True)
    assert len(buckets) <= len(TEXTS) * 7
    assert all(grid.tokens <= MOST_TOKENS and grid.text_tokens <= max_tokens for grid in buckets)
    for texts in (1, 3, 32, 33):
        for text_tokens in range(1, max_tokens + 1, 5):
            found = smallest_fit(buckets, texts, text_tokens)
            if found is None:
                assert texts > TEXTS[-1] or 4 * texts * max(text_tokens, 8) > MOST_TOKENS
            else:
                assert found.texts >= texts
                assert found.text_tokens >= text_tokens
                assert found.tokens <= 4 * texts * max(text_tokens, 4)


def test_a_layout_by_hand() -> None:
    numbers = laid_out(pack([[5, 6], [7, 8, 9]]), Bucket(4, 4)).tolist()
    ids, positions, places, lengths = numbers[:16], numbers[16:32], numbers[32:48], numbers[48:]
    assert ids == [5, 6, 0, 0, 7, 8, 9, 0] + [0] * 8
    assert positions == [0, 1, 0, 0, 0, 1, 2, 0] + [0] * 8
    assert places == [0, 1, 4, 5, 6] + [0] * 11
    assert lengths == [2, 3, 1, 1]


def test_each_device_has_its_backends(encoders: Callable[[str], TokenEncoder], tmp_path: Path) -> None:
    assert {name for name, _ in candidates("auto", "auto", (), "cuda")} == {"torch", "cuda_graphs"}
    assert "cuda_graphs" not in {name for name, _ in candidates("auto", "auto")}
    with pytest.raises(ConfigurationError, match="'cuda_graphs' needs the device cuda, and this is cpu"):
        make_backend(encoders("bert"), "cuda_graphs", "float32", threads=1, exports=tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", PACKED_FAMILIES)
@pytest.mark.parametrize("device", [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cuda"])
def test_recordings_of_a_gpu_equal_its_eager_pass(
    family: str, precision: BackendPrecision, device: str, tmp_path: Path
) -> None:
    encoder = UweModel.from_pretrained(save_tiny_model(family, tmp_path / "model"), device=device).encoder
    backend = CudaGraphs(encoder, precision, CudaRecorder(encoder.device))
    batches = ([[0, 5, 2]], [[0, 9, 9, 2], [0, 2]], [[0, *range(3, 12)]] * 20, [[0, 7, 2]] * 40)

    def encode_all() -> bool:
        return all(shortfall(encoder, backend, texts) <= TOLERANCES[precision] for texts in batches)

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.submit(encode_all).result() for _ in range(3))
