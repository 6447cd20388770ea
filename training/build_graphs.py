"""Build graphs: find the inputs that a command names, and hand them to the pipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.evaluate import SAMPLE, data_candidates, read_datasets
from training.pipeline.build import GraphBuild
from training.pipeline.chance import fixed_choice
from training.pipeline.config import BuildConfig
from training.pipeline.generation.endpoint import Endpoint
from training.pipeline.generation.generated_texts import TextSource
from training.pipeline.inputs import RawSources, local_skill_space, skillnorm_examples, skills_of
from training.pipeline.leaks import LeakCheck, local_leak_check, sample_leak_check
from training.pipeline.workspace import Workspace
from training.sources.generated import GeneratedFile
from training.sources.sample_texts import SampleTexts
from training.workbench.dataset import RankingDataset
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import DataError, InputError
from uwe_core.sample import sample_skills
from uwe_core.target_space import TargetSpace

_ANSWERS = "answers.sqlite"


def graph_build(
    workspace: Workspace,
    data: str,
    named: RawSources,
    skills: str | None,
    config: BuildConfig,
    device: str = "auto",
) -> GraphBuild:
    """A build, ready to run.

    Args:
        workspace: the folder of all stages.
        data: `sample`, or a folder in the layout of the evaluation data; what it holds is used, and its test texts
            are kept out of the graphs.
        named: sources named one by one, which take the place of those found.
        skills: the name of a target space of this machine; that of `data` where None.
        config: of all stages.
        device: `auto`, `cpu`, `cuda` or `cuda:n`.

    Raises:
        DataError, InputError, ArtefactError: an input cannot be used.
    """
    raw = _sources(data, named)
    space = _skill_space(data, skills)
    chosen = fixed_choice(space.ids, config.documents.limit_skills, config.seed)
    return GraphBuild(
        raw=raw,
        skills=skills_of(space, chosen),
        texts=_texts(data, raw, config, workspace.root, space),
        annotated=_annotated(data),
        check=leak_check(data),
        config=config,
        workspace=workspace,
        device=device,
    )


def leak_check(data: str) -> LeakCheck:
    """The texts that may not be trained on, of `sample` or of a folder of evaluation data."""
    return sample_leak_check() if data == SAMPLE else local_leak_check(_folder(data))


def _sources(data: str, named: RawSources) -> RawSources:
    found = RawSources() if data == SAMPLE else RawSources.found_in(_folder(data))
    given = {name: value for name in ("vacancies", "onet", "skillskape", "texts") if (value := getattr(named, name))}
    return replace(found, columns=named.columns, **given)


def _folder(data: str) -> Path:
    if not Path(data).is_dir():
        raise DataError(data, None, "is not a folder")
    return Path(data)


def _skill_space(data: str, name: str | None) -> TargetSpace:
    if name is not None:
        return SpaceCatalogue().open(name)
    return sample_skills() if data == SAMPLE else local_skill_space(_folder(data))


def _texts(data: str, raw: RawSources, config: BuildConfig, out: Path, space: TargetSpace) -> TextSource | None:
    if raw.texts is not None and config.endpoint is not None:
        raise InputError("generated texts come from a file or from an endpoint, not from both")
    if config.endpoint is not None:
        return Endpoint(config.endpoint, out / _ANSWERS, skillnorm_examples(space, config.seed))
    if raw.texts is not None:
        return GeneratedFile(raw.texts)
    # Without any source the sample has texts made by rules, so that training can be tried on every machine.
    return SampleTexts() if data == SAMPLE and not (raw.vacancies or raw.onet) else None


def _annotated(data: str) -> list[RankingDataset]:
    if data == SAMPLE:
        return []
    try:
        datasets, _ = read_datasets(data_candidates(data, "validation"), ["skillextract"], "selecting")
    except DataError:
        return []  # absent: the threshold must be given
    return datasets
