"""Averages of adapters: the mean of the merged changes, and the nearest product of a smaller rank."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from uwe_core.adapter_average import average_factors, largest_rank, truncate_factors, truncate_rank

Pair = tuple[Tensor, Tensor]


def pair_of(rank: int, inputs: int, outputs: int, seed: int) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, inputs, generator=generator), torch.randn(outputs, rank, generator=generator)


def change(pair: Pair) -> Tensor:
    return pair[1].double() @ pair[0].double()


shapes = st.tuples(st.integers(1, 4), st.integers(4, 9), st.integers(4, 9), st.integers(0, 1000))


@given(shapes, st.lists(st.floats(0, 3), min_size=1, max_size=4))
def test_the_average_is_the_mean_of_the_merged_changes(shape: tuple[int, int, int, int], scales: list[float]) -> None:
    rank, inputs, outputs, seed = shape
    adapters = [{"x": pair_of(rank, inputs, outputs, seed + place)} for place in range(len(scales))]
    expected = sum(scale * change(adapter["x"]) for adapter, scale in zip(adapters, scales, strict=True)) / len(scales)
    averaged = average_factors(adapters, scales)
    torch.testing.assert_close(change(averaged["x"]), expected, atol=1e-5, rtol=1e-5)
    assert largest_rank(averaged) == rank * len(scales)


def test_a_layer_that_an_adapter_lacks_counts_as_unchanged_there() -> None:
    first, second = pair_of(2, 5, 6, 0), pair_of(3, 5, 6, 1)
    averaged = average_factors([{"x": first, "y": second}, {"x": second}], [1.0, 4.0])
    torch.testing.assert_close(change(averaged["x"]), (change(first) + 4 * change(second)) / 2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(change(averaged["y"]), change(second) / 2, atol=1e-5, rtol=1e-5)


@given(shapes)
def test_two_adapters_of_half_the_rank_come_back_exactly(shape: tuple[int, int, int, int]) -> None:
    half, inputs, outputs, seed = shape
    adapters = [{"x": pair_of(half, inputs, outputs, seed + place)} for place in range(2)]
    averaged = average_factors(adapters, [1.0, 1.0])
    truncated, lost = truncate_factors(averaged, 2 * half)
    assert lost == pytest.approx(0, abs=1e-12)
    assert largest_rank(truncated) <= 2 * half
    torch.testing.assert_close(change(truncated["x"]), change(averaged["x"]), atol=1e-5, rtol=1e-5)


@given(shapes, st.integers(1, 4))
def test_a_smaller_rank_is_the_nearest_by_a_whole_singular_value_decomposition(
    shape: tuple[int, int, int, int], less: int
) -> None:
    pair = pair_of(shape[0] + 2, *shape[1:])
    down, up, lost = truncate_rank(*pair, less)
    outer, values, inner = torch.linalg.svd(change(pair), full_matrices=False)
    nearest = outer[:, :less] * values[:less] @ inner[:less]
    torch.testing.assert_close(change((down, up)), nearest, atol=1e-4, rtol=1e-4)
    assert lost == pytest.approx(float(values[less:].square().sum() / values.square().sum()), abs=1e-9)


def test_factors_of_very_different_size_are_balanced() -> None:
    down, up = pair_of(3, 8, 7, 0)
    new_down, new_up, _ = truncate_rank(1e-6 * down, 1e6 * up, 3)
    torch.testing.assert_close(new_down.norm(), new_up.norm())


def test_an_adapter_that_changes_nothing_loses_nothing() -> None:
    _, _, lost = truncate_rank(torch.zeros(3, 5), torch.zeros(4, 3), 1)
    assert lost == 0.0
