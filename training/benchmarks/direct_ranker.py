"""The ranker as the service has it, in this process."""

from __future__ import annotations

from pathlib import Path

from training.terminal import progress_bar
from uwe_core.backends.choosing import Candidate, use_backend
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.tasks import standard_task
from uwe_core.token_index import open_or_build
from uwe_core.token_storage import StorageType


def direct_ranker(  # noqa: PLR0913, PLR0917 - as many choices as the service has
    model: str,
    taxonomy: str,
    task: str,
    home: Path,
    device: str,
    way: Candidate,
    storage: StorageType,
    threads: int | None = None,
) -> Ranker:
    """A ranker of one task; its token index is built where there is none yet.

    Args:
        model: by name.
        taxonomy: by name.
        task: by name.
        home: of taxonomies, indexes and exported encoders.
        device: of the model.
        way: the backend and precision in which queries are encoded.
        storage: of the token index.
        threads: of computation; the processor quota where None.

    Raises:
        UweError: a model, taxonomy or task that is not here.
    """
    ranking_task = standard_task(task, taxonomy)
    catalogue = SpaceCatalogue(home)
    space = catalogue.open(ranking_task.target_space)
    loaded = UweModel.from_pretrained(model, device=device)
    with progress_bar(space.info.name) as bar:
        index = open_or_build(catalogue.indexes, loaded.encoder, space, storage, bar.update)
    rankable = RankableSpace(loaded, space, index)
    encoding = use_backend(loaded.encoder, *way, catalogue.exports, threads)
    return Ranker(loaded, {space.info.name: rankable}, {task: ranking_task}, encoding)
