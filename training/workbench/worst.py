"""The worst queries of a judgement, with what was ranked above the right answer."""

from __future__ import annotations

from collections.abc import Iterator

from training.workbench.baselines.interface import RankingModel
from training.workbench.evaluation import Judgement, score
from uwe_core.top_k import top_k


def worst_queries(model: RankingModel, judgement: Judgement, count: int) -> Iterator[str]:
    """Some lines per query, for the screen: test texts have owners, so they are never written to files."""
    dataset = judgement.dataset
    values = judgement.values("map")  # every query of a data set has a positive, so positions agree
    for position in values.argsort(kind="stable")[:count].tolist():
        query, positives = dataset.queries[position], dataset.positives[position]
        best, _ = top_k(score(model, dataset, [query])[0], 5)
        right = ", ".join(dataset.targets[index] for index in positives[:5])
        yield f"{query!r}: average precision {100 * values[position]:.1f} %"
        yield f"    right:  {right}{' ...' if len(positives) > 5 else ''}"
        yield f"    ranked: {', '.join(dataset.targets[index] for index in best.tolist())}"
