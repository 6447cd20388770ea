"""From settings to a ranker that is warm: the slow part of a start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from service.settings import Settings
from uwe_core.backends.choosing import use_backend
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.device import cpu_quota
from uwe_core.errors import ConfigurationError, UnknownSpaceError
from uwe_core.model import UweModel
from uwe_core.ranker import Candidates, RankableSpace, Ranker
from uwe_core.scoring.candidates import candidate_folder, load_faiss, open_or_build_candidates
from uwe_core.token_index import TokenIndex, index_folder, open_or_build

# Told what is being done, in words for /readyz.
Report = Callable[[str], None]
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
    try:
        spaces = [catalogue.open(name) for name in sorted({task.target_space for task in tasks.values()})]
    except UnknownSpaceError as error:
        raise ConfigurationError(f"{error} (in {settings.home}; `uwe data import-esco` adds ESCO)") from error
    report(f"loading the model '{settings.model}'")
    # Indexes are made in float32 whatever precision the queries are encoded in, so that they serve every machine.
    model = UweModel.from_pretrained(settings.model, revision=settings.model_revision, device=settings.device)
    rankable = {}
    for space in spaces:
        name = space.info.name
        report(f"opening the token index of '{name}'")
        folder = index_folder(catalogue.indexes, model.encoder, space, settings.storage)
        if not settings.precompute and not folder.exists():
            aliases = f" --aliases {settings.aliases[name]}" if name in settings.aliases else ""
            raise ConfigurationError(f"'{name}' has no token index of this model: run `uwe precompute {name}{aliases}`")
        index = open_or_build(
            catalogue.indexes,
            model.encoder,
            space,
            settings.storage,
            partial(_report_encoding, report, name),
        )
        rankable[name] = RankableSpace(model, space, index, _candidates(settings, catalogue.indexes, index, report))
    report("choosing how to encode")
    encoding = use_backend(model.encoder, settings.backend, settings.precision, catalogue.exports, threads)
    ranker = Ranker(model, rankable, tasks, encoding)
    report("warming up")
    for _ in range(_WARM_UP_ROUNDS):
        for task in tasks.values():
            ranker.rank(task.name, [task.example or _WARM_UP_TEXT])
    return ranker


def _check_spaces(settings: Settings) -> None:
    """Refuse settings of candidates and aliases that cannot work before anything slow begins."""
    ranked = {task.target_space for task in settings.all_tasks.values()}
    for what, names in (("candidates", settings.candidates.keys()), ("aliases", settings.aliases.keys())):
        if names - ranked:
            raise ConfigurationError(f"{what} are set for '{min(names - ranked)}', a space that no task ranks")
    if settings.candidates:
        load_faiss()


def _candidates(settings: Settings, indexes: Path, index: TokenIndex, report: Report) -> Candidates | None:
    name = index.manifest.space
    config = settings.candidates.get(name)
    if config is None:
        return None
    report(f"opening the candidate index of '{name}'")
    folder = candidate_folder(indexes, index, config.kind)
    if not settings.precompute and not folder.exists():
        raise ConfigurationError(
            f"'{name}' has no candidate index: run `uwe precompute {name} --candidates {config.kind}`"
        )
    return Candidates(open_or_build_candidates(indexes, index, config.kind), config)


def _report_encoding(report: Report, name: str, done: int, total: int) -> None:
    report(f"encoding '{name}': {done} of {total} targets")
