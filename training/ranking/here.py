"""Ranking in this process: model and token index from this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from training.precompute import precompute
from training.ranking.answers import Answer
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import TextError
from uwe_core.model import UweModel
from uwe_core.narrowing import WHOLE, Narrowing
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.tasks import RankingTask


def ranker_of(task: RankingTask, model: str, device: str, home: Path) -> Ranker:
    """A ranker of one task; the token index of its space is built, and kept, where it is missing.

    Raises:
        UnknownSpaceError: the task's taxonomy is not on this machine.
        ConfigurationError, ArtefactError: the model or the index cannot be used.
    """
    catalogue = SpaceCatalogue(home)
    catalogue.open(task.target_space)  # an absent one is told before the model is loaded
    loaded = UweModel.from_pretrained(model, device=device)
    (done,) = precompute(loaded, catalogue, [task.target_space], "float32")
    return Ranker(loaded, {task.target_space: RankableSpace(loaded, done.space, done.index)}, {task.name: task})


def rank_here(
    ranker: Ranker,
    task: str,
    queries: Iterable[str],
    top_k: int | None,
    batch_size: int,
    narrowing: Narrowing = WHOLE,
) -> Iterator[Answer]:
    """Answers in the order of the queries; `batch_size` of them are in memory at once.

    Raises:
        InvalidTextError, EmptyTextError: a query that cannot be encoded, by its position among all.
        InputError: a filter names metadata that the space does not have.
    """
    iterator = iter(queries)
    start = 0
    while batch := list(islice(iterator, batch_size)):
        try:
            rankings = ranker.rank(task, batch, top_k, narrowing)
        except TextError as error:
            raise error.moved(start) from error
        truncated = {truncation.position for truncation in rankings.truncations}
        for position, (query, targets) in enumerate(zip(batch, rankings.rankings, strict=True)):
            yield Answer(query, targets, position in truncated)
        start += len(batch)
