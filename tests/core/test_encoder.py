"""The token encoder, over four families of transformers: batching, order, limits, and texts it must refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FAMILIES, TINY_LIMIT, keep_weights, save_tiny_model, tiny_tokenizer
from uwe_core.encoder import TokenEncoder, Truncation, length_sorted_batches
from uwe_core.errors import EmptyTextError, InvalidTextError
from uwe_core.model import UweModel

TEXTS = ["nurse", "weld metal", "take blood pressure for people", "a", "bake bread, care for people", "weld metal"]


@pytest.fixture(scope="module", params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TokenEncoder:
    folder = save_tiny_model(request.param, tmp_path_factory.mktemp("model") / request.param)
    return UweModel.from_pretrained(folder, device="cpu").encoder


@pytest.mark.parametrize("tokens_per_batch", [1, 12, 4096])
def test_batches_change_nothing_and_keep_the_order(encoder: TokenEncoder, tokens_per_batch: int) -> None:
    together = encoder.encode(encoder.tokenise(TEXTS), tokens_per_batch)
    assert len(together) == len(TEXTS)
    for text, tokens in zip(TEXTS, together, strict=True):
        alone = encoder.encode(encoder.tokenise([text]))
        torch.testing.assert_close(tokens, alone.embeddings, rtol=0, atol=1e-5)


def test_special_tokens_stay_and_settings_of_the_tokenizer_are_ignored(encoder: TokenEncoder) -> None:
    # the tokenizer's file asks for a cut at five tokens and for padding to five
    ids = encoder.tokenise(["a", "take blood pressure for people"]).token_ids
    assert [len(row) for row in ids] == [3, 7]
    assert ids[1][0] == 0
    assert ids[1][-1] == 2


def test_only_the_position_limit_cuts_and_it_is_reported(encoder: TokenEncoder) -> None:
    assert encoder.max_tokens == TINY_LIMIT
    fits, too_long = " ".join(["a"] * (TINY_LIMIT - 2)), " ".join(["b"] * (TINY_LIMIT - 1))
    tokenised = encoder.tokenise(["nurse", fits, too_long])
    assert tokenised.truncations == [Truncation(position=2, tokens=TINY_LIMIT + 1, kept_tokens=TINY_LIMIT)]
    assert tokenised.token_ids[2][-1] == 2  # the closing special token is kept
    assert encoder.encode(tokenised).token_counts.tolist() == [3, TINY_LIMIT, TINY_LIMIT]


@pytest.mark.parametrize("most", [1, 2, 3, TINY_LIMIT, 99])
def test_a_text_may_be_cut_before_the_limit_and_keeps_the_token_that_closes_it(
    encoder: TokenEncoder, most: int
) -> None:
    (whole,) = encoder.tokenise(["a b c a b"]).token_ids
    tokenised = encoder.tokenise(["a b c a b", "a"], most)
    cut = tokenised.token_ids[0]
    assert len(cut) == min(most, 7)
    assert cut == ([*whole[: len(cut) - 1], whole[-1]] if most > 1 else whole[:1])
    assert (Truncation(0, 7, most) in tokenised.truncations) == (most < 7)


@pytest.mark.parametrize("family", ["bert", "mpnet", "xlm-roberta"])  # rotary positions have no table to run out of
def test_the_limit_is_the_last_that_the_position_table_can_take(family: str, tmp_path: Path) -> None:
    encoder = UweModel.from_pretrained(save_tiny_model(family, tmp_path / "model"), device="cpu").encoder
    hidden, _ = encoder.forward([[5] * encoder.max_tokens])
    assert hidden.shape[1] == TINY_LIMIT
    with pytest.raises((IndexError, RuntimeError)):
        encoder.forward([[5] * (encoder.max_tokens + 1)])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", EmptyTextError),
        (" \t\n\u3000", EmptyTextError),
        ("\u200b\u0007", EmptyTextError),
        ("[SEP]", EmptyTextError),
        ("nu\x00rse", InvalidTextError),
        ("nurse\ud800", InvalidTextError),
    ],
)
def test_a_text_that_cannot_be_encoded_is_named_by_its_position(
    encoder: TokenEncoder, text: str, error: type[EmptyTextError] | type[InvalidTextError]
) -> None:
    with pytest.raises(error, match="text 1 ") as raised:
        encoder.tokenise(["nurse", text])
    assert raised.value.position == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fingerprint_is_of_weights_and_tokenizer_alone(family: str, tmp_path: Path) -> None:
    def fingerprint(folder: Path) -> str:
        return UweModel.from_pretrained(folder, device="cpu").encoder.fingerprint

    one = save_tiny_model(family, tmp_path / "one")
    assert fingerprint(one) == fingerprint(save_tiny_model(family, tmp_path / "same"))
    without_pooler = save_tiny_model(family, tmp_path / "without pooler")
    keep_weights(without_pooler, lambda name: not name.startswith("pooler."))
    assert fingerprint(one) == fingerprint(without_pooler)
    assert fingerprint(one) != fingerprint(save_tiny_model(family, tmp_path / "other", seed=1))
    tiny_tokenizer(["other", "words"]).save_pretrained(one)
    assert fingerprint(one) != fingerprint(tmp_path / "same")


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 100))
def test_batches_hold_every_text_once_sorted_and_bounded(counts: list[int], bound: int) -> None:
    batches = list(length_sorted_batches(counts, bound))
    places = [place for batch in batches for place in batch]
    assert places == sorted(range(len(counts)), key=counts.__getitem__)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(counts[place] for place in batch) <= bound


def test_minilm_takes_its_512_tokens(embedded_model: UweModel) -> None:
    encoder = embedded_model.encoder
    assert (encoder.max_tokens, encoder.dim) == (512, 384)
    tokenised = encoder.tokenise(["nurse " * 600])
    assert tokenised.truncations == [Truncation(0, 602, 512)]
    assert encoder.encode(tokenised).embeddings.shape == (512, 384)
