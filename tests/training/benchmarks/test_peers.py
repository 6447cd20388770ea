"""The obvious service ranks as the ranker does, stays short, and its program answers lines."""

from __future__ import annotations

import argparse
import io
import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes import save_tiny_model
from training.benchmarks.agreement import same_ranking
from training.benchmarks.closed_loop import Measured
from training.benchmarks.compare import Entrants, chosen_peers, compare_report
from training.benchmarks.contestants import Answer
from training.benchmarks.peer_programs import PEERS, PeerInputs, start_fastest
from training.benchmarks.peers import obvious
from training.benchmarks.peers.program import answer_lines, encoder_of
from uwe_core.errors import ConfigurationError, InputError
from uwe_core.interaction import InteractionConfig
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import RankingTask
from uwe_core.token_index import TokenIndex

TEXTS = ["nurse", "baker", "welder", "care for people", "bake bread", "take blood pressure", "weld metal"]
QUERIES = ["people who bake bread", "welder", "take care"]


@pytest.fixture(scope="module", params=["soft_late_interaction", "two_way_late_interaction"])
def inputs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PeerInputs:
    folder = tmp_path_factory.mktemp("peers")
    model = UweModel.from_pretrained(save_tiny_model("bert", folder / "tiny"), device="cpu")
    model = model.with_interaction(InteractionConfig(kind=request.param, interaction_temperature=0.5))
    space = TargetSpace(SpaceInfo(name="crafts"), [f"id-{text}" for text in TEXTS], TEXTS)
    rankable = RankableSpace(model, space, TokenIndex.build(model.encoder, space))
    task = RankingTask(name="t", description="d", queries="q", target_space="crafts")
    written = PeerInputs(folder, folder / "environments", Ranker(model, {"crafts": rankable}, {"t": task}), "t", 5)
    written.write()
    return written


def options_of(inputs: PeerInputs) -> argparse.Namespace:
    given = inputs.arguments(1)
    options = dict(zip((name.removeprefix("--") for name in given[::2]), given[1::2], strict=True))
    return argparse.Namespace(
        folder=options["folder"], targets=json.loads(Path(options["targets"]).read_text()), top_k=inputs.top_k,
        temperature=float(options["temperature"]), ways=int(options["ways"]), cache=Path(options["cache"]), threads=1,
    )  # fmt: skip


def test_the_obvious_ranker_ranks_exactly_as_ours_with_our_token_embeddings_and_its_own(
    inputs: PeerInputs, tmp_path: Path
) -> None:
    expected = [
        [(target.id, target.score) for target in ranking] for ranking in inputs.ranker.rank("t", QUERIES, 5).rankings
    ]
    options = options_of(inputs)
    for cache in (options.cache, tmp_path / "encoded anew", tmp_path / "encoded anew"):
        options.cache = cache
        ranker = encoder_of(options)
        found = [[(f"id-{TEXTS[place]}", score) for place, score in ranker.rank(query, 5)] for query in QUERIES]
        assert all(same_ranking(*pair) for pair in zip(found, expected, strict=True))
    assert not same_ranking(found[0], found[1])


def test_its_program_answers_a_line_for_a_line(inputs: PeerInputs) -> None:
    answers = io.StringIO()
    answer_lines(encoder_of(options_of(inputs)), options_of(inputs), io.StringIO('"welder"\n"nurse"\n'), answers)
    ready, *lines = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert ready == {"ready": True}
    assert [len(line["best"]) for line in lines] == [5, 5]
    assert lines[0]["seconds"] > 0


def test_the_obvious_service_is_short() -> None:
    lines = Path(obvious.__file__).read_text().splitlines()
    assert len(lines) < 90
    page = Path(__file__).parents[3].joinpath("docs/latency.md").read_text()
    assert f"{len(lines)} lines" in page
    shown = page.partition("```python\n")[2].partition("```")[0].splitlines()
    assert "\n".join(line.strip() for line in shown) in "\n".join(line.strip() for line in lines)


def test_a_peer_that_is_not_installed_says_so(inputs: PeerInputs) -> None:
    absent = next(peer for peer in PEERS if peer.name == "pylate")
    with ExitStack() as stack, pytest.raises(ConfigurationError, match="cannot be started"):
        start_fastest(absent, inputs, QUERIES, stack)


def test_peers_are_chosen_by_name() -> None:
    assert chosen_peers([]) == list(PEERS)
    assert [peer.name for peer in chosen_peers(["litserve", "obvious"])] == ["litserve", "obvious"]
    with pytest.raises(InputError, match="no peer 'nonsense'"):
        chosen_peers(["nonsense"])


def test_the_report_compares_answers_only_of_those_who_compute_the_same() -> None:
    def measured(name: str, seconds: float, best: str) -> Measured:
        return Measured(name, "how", [[Answer(seconds, [(best, 1.0)])]] * 3)

    entered = Entrants(same={"service", "obvious"}, absent={"pylate": "no wheel"}, trials={"obvious": {1: 5.0, 2: 4.0}})
    rows = [measured("service", 0.01, "a"), measured("obvious", 0.02, "a"), measured("faiss", 0.005, "b")]
    report = compare_report(rows, entered, {"machine": "this"})
    cells = {row[0]: (row[4], row[5]) for row in report.grids[0].rows}
    assert cells == {
        "service": ("", ""), "obvious": ("2.00 (2.00 to 2.00)", "100%"),
        "faiss": ("0.50 (0.50 to 0.50)", "another function"),
    }  # fmt: skip
    assert "| pylate | no wheel |" in report.markdown()
    assert "obvious: 1 threads 5.0 ms, 2 threads 4.0 ms" in report.markdown()
    assert report.figures["rows"][1]["same_top"] == 1
