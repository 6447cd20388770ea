"""Bulk work in parts: the digits of one process, what a stop leaves, and the same on Ray workers."""

from __future__ import annotations

import pickle
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.fakes import TINY_WORDS, save_tiny_model
from tests.training.test_cli import Uwe, uwe  # noqa: F401 - a fixture
from tests.training.test_rank_cli import JOBS, SKILLS
from training.pipeline.parts import LocalRunner, OperatorFactory, RayRunner, RayWorker
from training.ranking import bulk
from training.ranking.answers import Answer
from training.ranking.bulk import BulkRanking, ranked_in_bulk
from training.ranking.here import rank_here, ranker_of
from training.ray_cluster import ray_cluster
from training.sharded_index import ShardedIndexes
from training.taxonomy import Taxonomy
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import ConfigurationError, EmptyTextError, FingerprintError
from uwe_core.model import UweModel
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import standard_task
from uwe_core.token_index import MANIFEST_FILE, TOKENS_FILE, TokenIndex
from uwe_core.token_storage import StorageType

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = standard_task("job2skill", "tiny")


def texts(count: int) -> list[str]:
    drawn = random.Random(1)
    return [" ".join(drawn.choices(TINY_WORDS, k=drawn.randint(1, 9))) for _ in range(count)]


QUERIES = texts(40)
# Five batches of 4,096 tokens.
MANY = TargetSpace.from_columns(
    SpaceInfo(name="many", kind="skill"), {"id": [f"m{number}" for number in range(2000)], "text": texts(2000)}
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model("bert", tmp_path_factory.mktemp("model") / "bert")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Taxonomy("tiny", SKILLS, JOBS, []).save(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def ranking(home: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> BulkRanking:
    """Eight queries a part."""
    monkeypatch.setattr(bulk, "_QUERIES_PER_PART", 8)
    return BulkRanking(TINY, str(model), "cpu", home, 3, 4)


def facts(answers: Iterator[Answer]) -> list[tuple[Any, ...]]:
    return [
        (a.query, a.truncated, [(t.rank, t.id, t.text, t.score, t.normalised_score) for t in a.targets])
        for a in answers
    ]


def alone(ranking: BulkRanking, queries: Sequence[str] = QUERIES) -> list[tuple[Any, ...]]:
    """What one process answers."""
    ranker = ranker_of(ranking.task, ranking.model, ranking.device, ranking.home)
    return facts(rank_here(ranker, ranking.task.name, queries, ranking.top_k, ranking.batch_size))


def in_parts(ranking: BulkRanking, out: Path, runner: Any, queries: Sequence[str] = QUERIES) -> list[tuple[Any, ...]]:
    with ranked_in_bulk(ranking, queries, out, runner) as answers:
        return facts(answers)


@dataclass
class StoppedRunner:
    """In this process; somebody presses Ctrl-C before the part of that number."""

    at: int | None = None
    done: list[int] = field(default_factory=list)

    def run(self, factory: OperatorFactory, parts: Sequence[int], folder: Path, done: Callable[[int], None]) -> None:
        def stopping() -> Any:
            operator = factory()

            def run(part: int) -> Any:
                if part == self.at:
                    raise KeyboardInterrupt
                self.done.append(part)
                return operator(part)

            return run

        LocalRunner().run(stopping, parts, folder, done)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_parts_have_the_digits_of_one_process(ranking: BulkRanking, batch_size: int, tmp_path: Path) -> None:
    ranking = replace(ranking, batch_size=batch_size)
    runner = StoppedRunner()
    assert in_parts(ranking, tmp_path / "out.parquet", runner) == alone(ranking)
    assert runner.done == list(range(-(-len(QUERIES) // {1: 8, 3: 6, 64: 64}[batch_size])))
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_stop_keeps_what_is_finished(
    ranking: BulkRanking, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        in_parts(ranking, out, StoppedRunner(at=3))
    assert "3 finished parts are kept in" in capsys.readouterr().err
    resumed = StoppedRunner()
    assert in_parts(ranking, out, resumed) == alone(ranking)
    assert resumed.done == [3, 4]


def test_what_was_ranked_otherwise_is_not_reused(ranking: BulkRanking, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    others = (
        (replace(ranking, top_k=2), QUERIES), (replace(ranking, batch_size=2), QUERIES), (ranking, QUERIES[::-1]),
    )  # fmt: skip
    for other, queries in others:
        with pytest.raises(KeyboardInterrupt):
            in_parts(ranking, out, StoppedRunner(at=4))
        runner = StoppedRunner()
        assert in_parts(other, out, runner, queries) == alone(other, queries)
        assert runner.done == [0, 1, 2, 3, 4]


def test_a_query_of_a_late_part_is_named_by_its_place_among_all(ranking: BulkRanking, tmp_path: Path) -> None:
    with pytest.raises(EmptyTextError, match="text 37 holds nothing"):
        in_parts(ranking, tmp_path / "out.parquet", LocalRunner(), [*QUERIES[:37], "zzz"])


def test_a_worker_with_another_model_ranks_nothing(ranking: BulkRanking, model: Path, tmp_path: Path) -> None:
    """As on a machine whose folder of the same name holds something else."""
    mine = shutil.copytree(model, tmp_path / "mine")

    class Elsewhere(LocalRunner):
        def run(self, factory: OperatorFactory, *rest: Any) -> None:
            save_tiny_model("bert", mine, seed=1)
            super().run(factory, *rest)

    with pytest.raises(FingerprintError, match="a worker has another model"):
        in_parts(replace(ranking, model=str(mine)), tmp_path / "out.parquet", Elsewhere())


def test_no_queries_are_no_parts(ranking: BulkRanking, tmp_path: Path) -> None:
    assert in_parts(ranking, tmp_path / "out.parquet", LocalRunner(), []) == []


@pytest.fixture
def many(home: Path) -> TargetSpace:
    MANY.save(home / "taxonomies" / "many" / "skills")
    return SpaceCatalogue(home).open("many")


def saved(index: TokenIndex, folder: Path) -> tuple[bytes, bytes]:
    index.save(folder)
    return (folder / TOKENS_FILE).read_bytes(), (folder / MANIFEST_FILE).read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
def test_shards_are_the_index_of_one_process(
    dtype: StorageType, many: TargetSpace, home: Path, model: Path, tmp_path: Path
) -> None:
    loaded = UweModel.from_pretrained(str(model), device="cpu")
    told: list[tuple[int, int]] = []
    shards = ShardedIndexes(str(model), loaded, "cpu", home, dtype, LocalRunner(), batches_per_part=2)
    index = shards.build(many, lambda *progress: told.append(progress))
    assert saved(index, tmp_path / "a") == saved(TokenIndex.build(loaded.encoder, many, dtype), tmp_path / "b")
    assert len(told) >= 2
    assert told[-1] == (2000, 2000)
    assert not list((home / "indexes" / "many").iterdir())


def test_shards_go_on_after_a_stop(many: TargetSpace, home: Path, model: Path, tmp_path: Path) -> None:
    loaded = UweModel.from_pretrained(str(model), device="cpu")
    shards = ShardedIndexes(str(model), loaded, "cpu", home, "int8", StoppedRunner(at=1), batches_per_part=1)
    with pytest.raises(KeyboardInterrupt):
        shards.build(many, lambda *_: None)
    resumed = StoppedRunner()
    index = replace(shards, runner=resumed).build(many, lambda *_: None)
    assert resumed.done[0] == 1
    assert saved(index, tmp_path / "a") == saved(TokenIndex.build(loaded.encoder, many, "int8"), tmp_path / "b")


@pytest.fixture
def command(uwe: Uwe) -> Uwe:  # noqa: F811
    return uwe


@pytest.fixture
def on_ray(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The commands' options lead to this process; what they ask Ray for is noted."""
    asked: list[tuple[Any, ...]] = []

    @contextmanager
    def cluster(address: str | None, cpus: int) -> Iterator[None]:
        asked.append((address, cpus))
        yield

    monkeypatch.setattr("training.worker_options.ray_cluster", cluster)
    monkeypatch.setattr(RayRunner, "run", lambda _, *arguments: LocalRunner().run(*arguments))
    return asked


def test_the_command_writes_the_same_file(
    command: Uwe,
    home: Path,
    model: Path,
    tmp_path: Path,
    on_ray: list[tuple[Any, ...]],
) -> None:
    file, one, two = tmp_path / "q.txt", tmp_path / "one.parquet", tmp_path / "two.parquet"
    file.write_text("\n".join(texts(600)))
    words = ("rank", "job2skill", "--model", model, "--taxonomy", "tiny", "--device", "cpu", "--file", file)
    here = command(home, *words, "--threads", "1", "--out", one)
    there = command(home, *words, "--threads", "1", "--out", two, "--ray", "--workers", "3", "--address", "a:1")
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    assert there.stdout == here.stdout.replace("one.parquet", "two.parquet")
    assert one.read_bytes() == two.read_bytes()
    assert on_ray == [("a:1", 4)]


def test_the_command_precomputes_the_same_index(
    command: Uwe,
    home: Path,
    model: Path,
    many: TargetSpace,
    on_ray: list[tuple[Any, ...]],
) -> None:
    told = {}
    for ray in ((), ("--ray",)):
        done = command(home, "precompute", "many", "--model", model, "--device", "cpu", "--threads", "1", *ray)
        assert "many: built, 2,000 targets" in done.stdout, done.stderr
        (folder,) = (home / "indexes" / "many").iterdir()
        told[ray] = {path.name: path.read_bytes() for path in folder.iterdir()}
        shutil.rmtree(folder)
    assert told[()] == told[("--ray",)]
    assert on_ray == [(None, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workers", "2"), "--workers and --address are for --ray"),
        (("--ray",), "name it with --out"),
        (("--ray", "--out", "a.parquet", "--server", "http://a"), "leave out --ray"),
    ],
)
def test_options_that_do_not_fit_are_told(
    command: Uwe,
    home: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    done = command(home, "rank", "job2skill", "nurse", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"unified-work-embeddings\[ray\]"), ray_cluster(None, 1):
        pass


def test_a_worker_tells_an_error_of_ours_and_raises_others(tmp_path: Path) -> None:
    """Ray would wrap what is raised, print it, and try the part again."""
    failure: list[Exception] = [EmptyTextError(37, "is empty"), ZeroDivisionError()]

    def operator(_: int) -> Any:
        raise failure.pop(0)

    worker = RayWorker(lambda: operator, str(tmp_path), 1)
    told = worker({"part": np.array([3])})
    assert told["part"].tolist() == [3]
    assert str(pickle.loads(told["error"][0])) == "text 37 is empty"
    with pytest.raises(ZeroDivisionError):
        worker({"part": np.array([3])})


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_ray_workers_have_the_digits_of_one_process_and_leave_nothing_running(
    ranking: BulkRanking, many: TargetSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # a busy machine would starve them
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ranking.model, "model")
    loaded = UweModel.from_pretrained("model", device="cpu")
    runner = RayRunner(workers=2)
    shards = ShardedIndexes("model", loaded, "cpu", Path("home"), "int8", RayRunner(workers=1), batches_per_part=2)
    before = set(psutil.Process().children(recursive=True))
    with ray_cluster(None, runner.cpus):
        here = replace(ranking, model="model", home=Path("home"))
        assert in_parts(here, Path("out.parquet"), runner) == alone(ranking)
        index = shards.build(many, lambda *_: None)
        started = set(psutil.Process().children(recursive=True)) - before
    assert saved(index, tmp_path / "a") == saved(TokenIndex.build(loaded.encoder, many, "int8"), tmp_path / "b")
    assert started
    _, left = psutil.wait_procs(started, timeout=30)
    assert not left
