"""Token ids of a batch: what is too long loses what was put beside a text, never the text itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import TINY_LIMIT, save_tiny_model
from uwe_core.batches.batch import BatchText
from uwe_core.encoder import TokenEncoder
from uwe_core.gradients.prepared_batch import Span, cut_around, tokenise_pieces
from uwe_core.model import UweModel

WORDS = st.lists(st.sampled_from(["nurse", "baker", "metal", "weld", ",", "(", "people"]), min_size=1, max_size=7)
NOTHING = st.just(list[str]())


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TokenEncoder:
    return UweModel.from_pretrained(
        save_tiny_model("bert", tmp_path_factory.mktemp("model") / "bert"), device="cpu"
    ).encoder


def contains(longer: list[int], shorter: list[int]) -> bool:
    return any(longer[at : at + len(shorter)] == shorter for at in range(len(longer) - len(shorter) + 1))


@given(WORDS, WORDS | NOTHING, WORDS | NOTHING, st.integers(3, 30))
def test_the_text_survives_the_cut_and_what_remains_beside_it_is_nearest_to_it(
    encoder: TokenEncoder, words: list[str], before: list[str], after: list[str], limit: int
) -> None:
    text, prefix, suffix = (" ".join(part) for part in (words, before, after))
    (found,) = tokenise_pieces(encoder, [BatchText(text, prefix, suffix)], limit)
    (whole,) = encoder.tokenise([" ".join(filter(None, (prefix, text, suffix)))]).token_ids
    (alone,) = encoder.tokenise([text]).token_ids
    room = limit - 2
    assert (found[0], found[-1]) == (whole[0], whole[-1])
    assert contains(whole, found[1:-1])
    assert len(found) == min(limit, len(before) + len(words) + len(after) + 2)
    assert contains(found, alone[1:-1][:room])
    if before and not after:
        kept = max(0, min(len(before), room - len(words)))
        assert (
            found[1:-1] == [*encoder.tokenise([prefix]).token_ids[0][1:-1], *alone[1:-1]][len(before) - kept :][:room]
        )


def test_without_anything_beside_it_a_text_is_what_the_encoder_makes_of_it(encoder: TokenEncoder) -> None:
    texts = ["take blood pressure", "a", "( people )", "a " * 40]
    found = tokenise_pieces(encoder, [BatchText(text) for text in texts], TINY_LIMIT)
    assert found == encoder.tokenise(texts).token_ids


@given(
    st.integers(0, 2), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 2), st.integers(1, 20)
)
def test_the_window_is_the_nearest_that_fits(
    opening: int, before: int, own: int, after: int, closing: int, room: int
) -> None:
    counts = (opening, before, own, after, closing)
    total = sum(counts)
    first = opening + before
    kept = cut_around(
        list(range(total)), Span(first, first + own), Span(opening, total - closing), room + opening + closing
    )
    assert kept[:opening] == list(range(opening))
    assert kept[len(kept) - closing :] == list(range(total - closing, total))
    window = kept[opening : len(kept) - closing]
    assert len(window) == min(room, before + own + after)
    assert window == list(range(window[0], window[0] + len(window))) if window else True
    assert set(range(first, first + min(own, room))) <= set(window)


def test_the_cut_works_where_a_space_is_part_of_the_word_after_it(embedded_model: UweModel) -> None:
    sentence = "installs and repairs café equipment, " * 3
    other = "we offer a competitive salary; apply now! " * 8
    encoder = embedded_model.encoder
    alone = encoder.tokenise([sentence.strip()]).token_ids[0][1:-1]
    for text in (BatchText(sentence.strip(), prefix=other), BatchText(sentence.strip(), suffix=other)):
        (found,) = tokenise_pieces(encoder, [text], 64)
        assert len(found) == 64
        assert contains(found, alone)
