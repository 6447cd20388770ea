"""Ranking on the workers of a Ray cluster, in parts that a stop does not lose."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from training.folder_lock import locked_folder
from training.pipeline.parts import Operator, Runner, run_parts
from training.ranking.answers import Answer
from training.ranking.here import rank_here, ranker_of
from training.ray_cluster import as_workers_find_it
from training.terminal import progress_bar
from uwe_core.errors import FingerprintError, TextError
from uwe_core.files import atomic_file, sha256_of
from uwe_core.narrowing import WHOLE, Narrowing
from uwe_core.ranker import Ranker
from uwe_core.tasks import RankingTask

QUERIES_FILE = "queries.parquet"
# So many are lost at most when a worker dies; whole batches, so that they are those of one process.
_QUERIES_PER_PART = 256
_QUERIES = pa.schema({"query": pa.string()})
_TARGET = {
    "rank": pa.int32(), "id": pa.string(), "text": pa.string(), "score": pa.float64(), "normalised_score": pa.float64(),
}  # fmt: skip
_ANSWERS = pa.schema(
    {
        "query": pa.string(),
        "truncated": pa.bool_(),
        "targets": pa.list_(pa.struct([*map(pa.field, _TARGET, _TARGET.values())])),
    }
)


@dataclass(frozen=True)
class RankedRow:
    """One target of an answer that a worker wrote."""

    rank: int
    id: str
    text: str
    score: float
    normalised_score: float


@dataclass(frozen=True)
class BulkRanking:
    """What is ranked by what; a worker makes its ranker of it, of files that it must see as this machine does.

    Attributes:
        task: of the queries.
        model, device, home: as for `ranker_of`.
        top_k: targets of each query; the task's own number where None.
        batch_size: queries ranked at once.
        narrowing: which of the best targets are wanted.
    """

    task: RankingTask
    model: str
    device: str
    home: Path
    top_k: int | None
    batch_size: int
    narrowing: Narrowing = WHOLE

    @property
    def queries_per_part(self) -> int:
        """Whole batches."""
        return self.batch_size * max(1, _QUERIES_PER_PART // self.batch_size)

    def fingerprint(self, ranker: Ranker) -> str:
        """Content hash of everything that decides the digits of an answer, but for the queries."""
        facts = {
            "task": self.task.model_dump(mode="json"),
            "model": ranker.model.fingerprint,
            "index": ranker.spaces[self.task.target_space].fingerprint,
            "top_k": self.top_k,
            "batch_size": self.batch_size,
            "narrowing": repr(self.narrowing),
            "device": str(ranker.model.encoder.device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _PartRanker:
    """Makes what ranks the parts of a file of queries, once in each worker."""

    ranking: BulkRanking
    queries: Path
    per_part: int
    fingerprint: str

    def __call__(self) -> Operator:
        """Load model and index.

        Raises:
            FingerprintError: the worker's model, index or libraries are not those of the process that sent it.
        """
        ranking = self.ranking
        ranker = ranker_of(ranking.task, ranking.model, ranking.device, ranking.home)
        if ranking.fingerprint(ranker) != self.fingerprint:
            raise FingerprintError("a worker has another model, token index, device or torch than this process")
        return partial(self._rank, ranker)

    def _rank(self, ranker: Ranker, part: int) -> pa.Table:
        with pq.ParquetFile(self.queries) as file:
            queries = file.read_row_group(part).column(0).to_pylist()
        ranking = self.ranking
        try:
            narrowing = ranking.narrowing
            answers = list(rank_here(ranker, ranking.task.name, queries, ranking.top_k, ranking.batch_size, narrowing))
        except TextError as error:
            raise error.moved(part * self.per_part) from error
        rows = [
            {"query": answer.query, "truncated": answer.truncated, "targets": [_facts(t) for t in answer.targets]}
            for answer in answers
        ]
        return pa.Table.from_pylist(rows, schema=_ANSWERS)


@contextmanager
def ranked_in_bulk(
    ranking: BulkRanking, queries: Iterable[str], out: Path, runner: Runner
) -> Iterator[Iterator[Answer]]:
    """The answers in the order of the queries, equal to the last digit to those of one process with as many threads.

    All parts are ranked before the block begins, and kept in a folder beside `out` until it ends well: the same call
    after a stop ranks only what is missing.

    Args:
        ranking: what is ranked by what.
        queries: read once; they need not fit into memory.
        out: the file that the answers are for.
        runner: whose workers rank.

    Raises:
        ConfigurationError: another process ranks for the same file.
        InvalidTextError, EmptyTextError: a query that cannot be encoded, by its position among all.
        UweError: whatever else a worker meets.
    """
    folder = out.with_name(f".{out.name}.parts")
    ranker = ranker_of(ranking.task, ranking.model, ranking.device, ranking.home)  # so that workers find the index
    with locked_folder(folder, "ranking"), _told_what_is_kept(folder):
        per_part = ranking.queries_per_part
        sizes = _write_queries(folder / QUERIES_FILE, queries, per_part)
        sent = replace(ranking, model=as_workers_find_it(ranking.model), home=ranking.home.absolute())
        factory = _PartRanker(sent, (folder / QUERIES_FILE).absolute(), per_part, ranking.fingerprint(ranker))
        del ranker  # the workers have theirs
        name = hashlib.sha256(f"{factory.fingerprint} {sha256_of(folder / QUERIES_FILE)}".encode()).hexdigest()
        with progress_bar("rank") as bar:
            parts = run_parts((folder / f"rank-{name[:16]}").absolute(), sizes, factory, runner, bar.update)
        yield _answers(parts)
        shutil.rmtree(folder)


@contextmanager
def _told_what_is_kept(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        kept = len(list(folder.glob("rank-*/*.parquet")))
        if kept:
            print(f"{kept} finished parts are kept in {folder}: the same command goes on from there", file=sys.stderr)  # noqa: T201
        raise


def _write_queries(path: Path, queries: Iterable[str], per_part: int) -> list[int]:
    """A row group for each part, so that a worker reads its own alone; the sizes of the parts."""
    sizes = []
    iterator = iter(queries)
    with atomic_file(path) as aside, pq.ParquetWriter(aside, _QUERIES) as writer:
        while part := list(islice(iterator, per_part)):
            writer.write_table(pa.table({"query": part}, schema=_QUERIES))
            sizes.append(len(part))
    return sizes


def _answers(parts: Sequence[Path]) -> Iterator[Answer]:
    for part in parts:
        for row in pq.read_table(part).to_pylist():
            yield Answer(row["query"], [RankedRow(**target) for target in row["targets"]], row["truncated"])


def _facts(target: Any) -> dict[str, Any]:
    return {name: getattr(target, name) for name in _TARGET}
