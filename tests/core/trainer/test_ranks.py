"""Two processes train as one does: the same losses, gradients and weights, and one of them writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from tests.core.trainer.two_processes import RANKS, STEPS, run_config, run_findings, step_gradients, work
from uwe_core.ranks import Ranks, shares

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def found(base: Path, folder: Path) -> list[dict[str, Any]]:
    """What two processes have found, by rank."""
    spawn(work, (base, folder), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(RANKS)]


def assert_near(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    assert found.keys() == wanted.keys()
    largest = max(float(tensor.norm()) for tensor in wanted.values())
    for name, tensor in found.items():
        # some gradients are zero but for rounding, such as those of the biases of keys
        scale = max(float(wanted[name].norm()), 1e-3 * largest)
        assert float((tensor - wanted[name]).norm()) <= tolerance * scale, name


@pytest.mark.parametrize(("case", "tokens_per_chunk"), [("gradients", 30), ("one chunk", 10_000)])
def test_losses_and_gradients_are_those_of_one_process(
    case: str, tokens_per_chunk: int, base: Path, found: list[dict[str, Any]]
) -> None:
    alone = step_gradients(base, Ranks(), tokens_per_chunk)
    for of_rank in (findings[case] for findings in found):
        torch.testing.assert_close(of_rank["total"], alone["total"], rtol=1e-6, atol=0)
        for name, value in alone["terms"].items():
            torch.testing.assert_close(of_rank["terms"][name], value, rtol=1e-6, atol=0)
        assert_near(of_rank["gradients"], alone["gradients"])
    one, other = (findings[case]["gradients"] for findings in found)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("case", ["gradients", "one chunk"])
def test_each_rank_encodes_a_share(case: str, found: list[dict[str, Any]]) -> None:
    texts = [findings[case]["texts"] for findings in found]
    batch = found[0][case]["batch"]
    assert batch <= sum(texts) <= 2 * batch, "some are encoded a second time for their gradients"
    assert min(texts) > 0.2 * batch


def test_a_rank_without_a_chunk_takes_part_and_a_weight_without_a_gradient_stays_so(
    found: list[dict[str, Any]],
) -> None:
    for findings in found:
        assert torch.equal(findings["idle"]["used"], torch.full((2, 2), 3.0))
        assert findings["idle"]["unused"] is None
        assert findings["idle"]["mean"].item() == 1.5


def test_a_loss_that_is_not_finite_on_one_rank_is_so_on_all(found: list[dict[str, Any]]) -> None:
    assert all(findings["idle"]["spoilt"].isnan() for findings in found)


def test_ranks_agree(found: list[dict[str, Any]]) -> None:
    for findings in found:
        assert findings["agreement"]["any"] == (True, False)
        assert findings["agreement"]["first"] == "made by 0"
        assert "do not see the same number" in findings["agreement"]["refused"]
    assert [findings["agreement"]["failed"] for findings in found] == [
        "ValueError: nothing to be had",
        "PeerError: the first process has failed: ValueError: nothing to be had",
    ]


def test_after_three_steps_both_ranks_have_the_weights_of_one_process(
    base: Path, tmp_path: Path, found: list[dict[str, Any]]
) -> None:
    alone = run_findings(base, tmp_path / "alone", run_config(dropout=0.0))
    one, other = (findings["run"] for findings in found)
    assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])
    # Attention is blind to the biases of keys: their gradients are rounding errors, which Adam makes steps of.
    seen, wanted = (
        {name: tensor for name, tensor in run["weights"].items() if not name.endswith("key.bias")}
        for run in (one, alone)
    )
    assert_near(seen, wanted)
    assert one["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    assert one["best"] == other["best"] == pytest.approx(alone["best"], rel=1e-4)


def test_the_first_rank_alone_writes_and_tells(folder: Path, found: list[dict[str, Any]]) -> None:
    one, other = (findings["run"] for findings in found)
    assert (len(one["losses"]), one["validations"]) == (STEPS, 3)
    assert (other["losses"], other["validations"]) == ([], 0)
    assert sorted(path.name for path in (folder / "run").iterdir()) == ["best", "last", "state"]


def test_one_rank_that_is_told_to_stop_stops_both_and_the_run_goes_on_as_if_it_had_not(
    found: list[dict[str, Any]],
) -> None:
    for findings in found:
        assert (findings["stopped"]["stopped"], findings["stopped"]["step"]) == (True, 1)
        assert (findings["resumed"]["stopped"], findings["resumed"]["step"]) == (False, STEPS)
        whole, resumed = findings["random"]["weights"], findings["resumed"]["weights"]
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    parts = found[0]["stopped"]["losses"] + found[0]["resumed"]["losses"]
    assert parts == found[0]["random"]["losses"]
    assert parts != found[0]["run"]["losses"], "or dropout was off"


def test_a_plan_by_the_clock_is_that_of_the_first_rank_and_adapters_are_the_same(found: list[dict[str, Any]]) -> None:
    one, other = (findings["timed"] for findings in found)
    assert one["plan"] == other["plan"]
    assert 10 < one["plan"].steps < 100_000
    assert one["step"] == other["step"] == 2
    assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])


@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 5))
def test_shares_divide_the_chunks_and_their_costs(costs: list[int], ranks: int) -> None:
    divided = shares(costs, ranks)
    assert sorted(chunk for share in divided for chunk in share) == list(range(len(costs)))
    assert all(share == sorted(share) for share in divided)
    loads = [sum(costs[chunk] for chunk in share) for share in divided]
    assert max(loads) - min(loads) <= max(costs, default=0)


def test_a_process_that_is_alone_calls_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("all_gather", "all_reduce", "all_gather_object", "broadcast_object_list"):
        monkeypatch.delattr(torch.distributed, name)
    ranks = Ranks.here()
    assert ranks == Ranks(0, 1)
    own, state = torch.ones(2, 3), torch.get_rng_state()
    assert ranks.exchanged(own, [2])[0] is own
    assert ranks.any(True)
    assert ranks.of_first(lambda: 5) == 5
    ranks.common_seed()
    assert torch.equal(torch.get_rng_state(), state)
