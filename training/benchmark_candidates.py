"""`uwe benchmark candidates`: how many of the exact ten best candidates find, and what they save."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch

from training.benchmarks.filled_space import bytes_needed, filled_space
from training.benchmarks.latency import Question
from training.benchmarks.real_queries import real_queries
from training.benchmarks.report import BenchmarkReport, Grid, machine_facts, milliseconds
from training.benchmarks.scale import peak_bytes
from training.composed_texts import composed_space
from training.terminal import progress_bar
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.device import cpu_quota
from uwe_core.model import UweModel
from uwe_core.scoring import make_scorer
from uwe_core.scoring.candidates import CandidateConfig, CandidateIndex, CandidateScorer
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import StorageType, TokenIndex, open_or_build
from uwe_core.token_storage import SERVED_STORAGE
from uwe_core.top_k import top_k

HEADER = (
    "targets", "texts", "index, MB", "candidate index, MB", "built, s", "opened, s", "recall@10", "best one found",
    "exact p50, ms", "candidates p50, ms", "ratio", "most memory, MB", "",
)  # fmt: skip
_BEST = 10
_USABLE_SHARE = 0.7
# Vectors are there twice while an index of faiss is built, and each has some links.
_VECTOR_COPIES, _LINK_BYTES = 2, 300
Result = TypeVar("Result")
# Told in words what is done and what was found; can be sent to another process.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class CandidatePlan:
    """What is measured.

    Attributes:
        texts: distinct texts that are encoded.
        filled: targets of a second space, filled up with disturbed copies; 0 measures none.
        queries: each is asked once of both ways, in turn.
        config: of the candidates.
        dtype: in which token embeddings are stored.
    """

    texts: int = 100_000
    filled: int = 1_000_000
    queries: int = 200
    config: CandidateConfig = field(default_factory=CandidateConfig)
    dtype: StorageType = SERVED_STORAGE


@dataclass(frozen=True)
class CandidateCost:
    """One space.

    Attributes:
        encoded: each target is a text of its own that was encoded.
        recall: share of the exact ten best that the candidates' ten best have, mean over queries.
        first_found: share of queries whose exact best target is the candidates' best.
        exact_seconds, candidate_seconds: medians from token embeddings of one query to its ten best.
        peak_bytes: most memory of the process, model and both ways of scoring included.
        skipped: why nothing was measured.
    """

    targets: int
    encoded: bool
    index_bytes: int = 0
    candidate_bytes: int = 0
    build_seconds: float = 0.0
    open_seconds: float = 0.0
    recall: float = 0.0
    first_found: float = 0.0
    exact_seconds: float = 0.0
    candidate_seconds: float = 0.0
    peak_bytes: int = 0
    skipped: str = ""


def measure_candidates(question: Question, model: str, plan: CandidatePlan, tell: Tell) -> BenchmarkReport:
    """Both spaces, each in a process of its own, so that memory is its own.

    Args:
        question: whose task's targets and queries are taken.
        model: by name.
        plan: what is measured.
        tell: told of each stage and result; those processes get a copy.

    Raises:
        UweError: a model, taxonomy or task that cannot be; too few labels; faiss is not installed.
    """
    facts = machine_facts(question.device)
    queries = real_queries(question.data, question.task)
    costs = []
    for filled in (0, plan.filled) if plan.filled else (0,):
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
            own_plan = replace(plan, filled=filled)
            texts = list(queries.take(plan.queries))
            costs.append(process.submit(_measure_here, question, model, own_plan, texts, tell).result())
        tell(" ".join(candidate_cells(costs[-1])))
    facts |= {
        "model": f"{Path(model).name}, float32, index in {plan.dtype}",
        "queries": queries.source,
        "candidates": f"{plan.config.count:,} of each query by {plan.config.kind}",
        "texts": f"labels and alternative labels of {question.taxonomy}, then with levels, tools and sectors added",
    }
    return candidate_report(costs, facts)


def candidate_report(costs: Sequence[CandidateCost], facts: dict[str, Any]) -> BenchmarkReport:
    """The report."""
    title = "One query at a time, from its token embeddings to its ten best"
    return BenchmarkReport(
        name="candidates",
        facts=facts,
        grids=[Grid(title, HEADER, [candidate_cells(cost) for cost in costs])],
        figures=[asdict(cost) for cost in costs],
        notes=(
            "Recall and best one found are beside exact scoring of the same space.",
            "A filled space has the encoded texts and copies of them, token embeddings disturbed by a tenth of their "
            "norm at random: it measures time and memory; no recall is given, since copies are not texts.",
        ),
    )


def candidate_cells(cost: CandidateCost) -> list[str]:
    """Cells of `HEADER`."""
    kind = "encoded" if cost.encoded else "filled up"
    if cost.skipped:
        return [f"{cost.targets:,}", kind, *[""] * 10, f"skipped: {cost.skipped}"]
    found = [f"{cost.recall:.3f}", f"{cost.first_found:.3f}"] if cost.encoded else ["-", "-"]
    return [
        f"{cost.targets:,}", kind, f"{cost.index_bytes / 1e6:,.0f}", f"{cost.candidate_bytes / 1e6:,.0f}",
        f"{cost.build_seconds:,.1f}", f"{cost.open_seconds:.1f}", *found,
        milliseconds(1000 * cost.exact_seconds), milliseconds(1000 * cost.candidate_seconds),
        f"{cost.candidate_seconds / cost.exact_seconds:.3f}", f"{cost.peak_bytes / 1e6:,.0f}", "",
    ]  # fmt: skip


def measure_index(
    index: TokenIndex, model: UweModel, queries: TokenEmbeddings, config: CandidateConfig, folder: Path
) -> CandidateCost:
    """Build, save and open the candidates of an index, then ask every query of both ways in turn.

    Args:
        index: on the model's device.
        model: whose interaction scores.
        queries: the first one is asked once before, to warm up.
        config: of the candidates.
        folder: where the candidate index is saved.
    """
    built, build_seconds = _timed(lambda: CandidateIndex.build(index, config.kind))
    built.save(folder / "candidates")
    del built  # while the saved one is read there would be two
    opened, open_seconds = _timed(lambda: CandidateIndex.open(folder / "candidates", index, config.kind))
    exact = make_scorer(index, model.interaction)
    some = CandidateScorer(index, model.interaction, opened, config.count)

    def exact_best(query: TokenEmbeddings) -> list[int]:
        return top_k(exact.score(query)[0], _BEST)[0].tolist()

    def candidate_best(query: TokenEmbeddings) -> list[int]:
        return some.score(query)[0].best(_BEST)[0].tolist()

    seconds: dict[str, list[float]] = {"exact": [], "candidates": []}
    recalls, firsts = [], []
    for query in [queries.slice(place, place + 1) for place in (0, *range(len(queries)))]:
        expected, exact_seconds = _timed(lambda query=query: exact_best(query))  # type: ignore[misc]
        found, candidate_seconds = _timed(lambda query=query: candidate_best(query))  # type: ignore[misc]
        seconds["exact"].append(exact_seconds)
        seconds["candidates"].append(candidate_seconds)
        recalls.append(len(set(expected) & set(found)) / len(expected))
        firsts.append(expected[0] == found[0])
    return CandidateCost(
        targets=len(index),
        encoded=True,
        index_bytes=index.nbytes,
        candidate_bytes=sum(file.stat().st_size for file in (folder / "candidates").iterdir()),
        build_seconds=build_seconds,
        open_seconds=open_seconds,
        recall=statistics.mean(recalls[1:]),
        first_found=statistics.mean(firsts[1:]),
        exact_seconds=statistics.median(seconds["exact"][1:]),
        candidate_seconds=statistics.median(seconds["candidates"][1:]),
        peak_bytes=peak_bytes(),
    )


def _measure_here(question: Question, model: str, plan: CandidatePlan, texts: list[str], tell: Tell) -> CandidateCost:
    torch.set_num_threads(cpu_quota())
    catalogue = SpaceCatalogue(question.home)
    loaded = UweModel.from_pretrained(model, device=question.device)
    space = composed_space(catalogue.open(question.ranking_task.target_space), plan.texts)
    with progress_bar(f"encoding {space.info.name}, kept for the next run") as bar:
        index = open_or_build(catalogue.indexes, loaded.encoder, space, plan.dtype, bar.update)
    queries = loaded.encoder.encode(loaded.encoder.tokenise(texts))
    if plan.filled:
        vectors = plan.filled * (_VECTOR_COPIES * 4 * index.manifest.dim + _LINK_BYTES)
        needed, usable = bytes_needed(index, plan.filled) + vectors, _USABLE_SHARE * psutil.virtual_memory().available
        if needed > usable:
            reason = f"the indexes need {needed / 1e9:.1f} GB, {usable / 1e9:.1f} GB may be used"
            return CandidateCost(plan.filled, encoded=False, skipped=reason)
        tell(f"filling up to {plan.filled:,} targets; with candidates about {needed / 1e9:.1f} GB")
        _, index = filled_space(space, index, plan.filled)
    tell(f"building and searching a candidate index of {len(index):,} targets ({plan.config.kind})")
    with tempfile.TemporaryDirectory(prefix="candidates-", dir=question.home) as folder:
        cost = measure_index(index.to(loaded.encoder.device), loaded, queries, plan.config, Path(folder))
    return replace(cost, encoded=not plan.filled)


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start
