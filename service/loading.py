"""From settings to a ranker that is warm: the slow part of a start."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import torch

from service.opening import Report, SpaceOpener
from service.settings import Settings
from uwe_core.backends.choosing import use_backend
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.device import cpu_quota
from uwe_core.errors import ArtefactError, ConfigurationError, DiskFullError, UnknownSpaceError
from uwe_core.languages import language_warnings
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.scoring.candidates import load_faiss
from uwe_core.served_spaces import ServedSpaces

logger = logging.getLogger(__name__)

# The first runs pick kernels and fill caches; later ones are as fast as they will be.
_WARM_UP_ROUNDS = 3
_WARM_UP_TEXT = "warm-up"


def load_ranker(settings: Settings, report: Report) -> Ranker:
    """Load the model, the spaces of all tasks and their token indexes, and run each task until it is fast.

    Raises:
        ConfigurationError: settings that cannot work here, such as an absent device or a taxonomy not imported.
        ArtefactError: a file that is broken or does not fit.
    """
    threads = settings.threads or cpu_quota()
    torch.set_num_threads(threads)
    tasks = settings.all_tasks
    _check_spaces(settings)
    catalogue = SpaceCatalogue(settings.home, settings.spaces, settings.aliases)
    _sweep(catalogue)
    try:
        spaces = [catalogue.open(name) for name in sorted({task.target_space for task in tasks.values()})]
    except UnknownSpaceError as error:
        raise ConfigurationError(f"{error} (in {settings.home}; `uwe data import-esco` adds ESCO)") from error
    report(f"loading the model '{settings.model}'")
    # Indexes are made in float32 whatever precision the queries are encoded in, so that they serve every machine.
    model = UweModel.from_pretrained(settings.model, revision=settings.model_revision, device=settings.device)
    opener = SpaceOpener(settings, model, catalogue.indexes, report)
    live = {space.info.name: opener.open(space, uploaded=space.info.name in catalogue.uploaded) for space in spaces}
    live |= _uploaded(catalogue, opener, sorted(catalogue.uploaded - live.keys()))
    report("choosing how to encode")
    cheap_int8 = model.info.cheap_int8
    encoding = use_backend(model.encoder, settings.backend, settings.precision, catalogue.exports, threads, cheap_int8)
    ranker = Ranker(model, live, tasks, encoding)
    ranker.served = _with_previous(ranker.served, catalogue, opener, settings.previous_version_seconds)
    for space in live.values():
        for warning in language_warnings(ranker.description.languages, space.space.info):
            logger.warning("the space '%s': %s", space.name, warning)
    report("warming up")
    for _ in range(_WARM_UP_ROUNDS):
        for task in tasks.values():
            ranker.rank(task.name, [task.example or _WARM_UP_TEXT])
    return ranker


def _sweep(catalogue: SpaceCatalogue) -> None:
    """Remove what a killed process left of uploads; a folder that cannot be written to has its spaces all the same."""
    try:
        catalogue.live_spaces.sweep()
    except (OSError, DiskFullError) as error:
        logger.warning("uploaded spaces cannot be changed here: %s", error)


def _uploaded(catalogue: SpaceCatalogue, opener: SpaceOpener, names: Sequence[str]) -> dict[str, RankableSpace]:
    """Uploaded spaces that no task ranks: one that cannot be opened does not keep the others from being served."""
    opened = {}
    for name in names:
        try:
            opened[name] = opener.open(catalogue.open(name), uploaded=True)
        except (ArtefactError, ConfigurationError, DiskFullError) as error:
            logger.warning("the uploaded space '%s' is not served: %s", name, error)
    return opened


def _with_previous(
    served: ServedSpaces, catalogue: SpaceCatalogue, opener: SpaceOpener, kept_seconds: float
) -> ServedSpaces:
    """With the versions that were live before, of those that may still be asked for."""
    for name in sorted(catalogue.uploaded & served.live.keys()):
        try:
            pointer = catalogue.live_spaces.pointer(name)
            if pointer is None or pointer.previous is None:
                continue
            until = pointer.changed.timestamp() + kept_seconds
            space = catalogue.live_spaces.open(name, pointer.previous)
            if time.time() < until and opener.is_indexed(name, space.fingerprint):
                served = served.with_previous(opener.open(space, uploaded=True), until)
        except ArtefactError as error:
            logger.warning("the version of '%s' before the live one is lost: %s", name, error)
    return served


def _check_spaces(settings: Settings) -> None:
    """Refuse settings of candidates and aliases that cannot work before anything slow begins."""
    ranked = {task.target_space for task in settings.all_tasks.values()}
    for what, names in (("candidates", settings.candidates.keys()), ("aliases", settings.aliases.keys())):
        if names - ranked:
            raise ConfigurationError(f"{what} are set for '{min(names - ranked)}', a space that no task ranks")
    if settings.candidates:
        load_faiss()
