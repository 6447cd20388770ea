"""Queries that people wrote: each is asked once, so that nothing but a cache's own row is answered from memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.evaluate import SAMPLE, data_candidates, read_datasets
from training.sources.files import read_table
from training.sources.onet import read_onet
from training.workbench.baselines.sentence import KINDS
from uwe_core.errors import InputError
from uwe_core.sample import sample_rows

_TITLE_FILES = ("jobbert/titles_test.csv", "jobbert/titles_validation.csv")


@dataclass(frozen=True)
class RealQueries:
    """Distinct texts in a random but fixed order, and where they are from."""

    texts: Sequence[str]
    source: str

    def take(self, count: int) -> Sequence[str]:
        """The first so many; begins anew where there are fewer, and `source` says how many there are."""
        return [self.texts[place % len(self.texts)] for place in range(count)]


def real_queries(data: str, task: str, seed: int = 0) -> RealQueries:
    """Queries of a task: job titles of vacancies where it takes jobs, else those of its data set.

    Args:
        data: `sample`, or a folder in the layout of docs/evaluation.md.
        task: one of the six, or a data set's name.
        seed: of the order.

    Raises:
        InputError, DataError: no such task, or its files are not there.
    """
    if task in KINDS and KINDS[task][0] == "job":
        texts, source = _job_titles(data)
    else:
        (dataset, *_), _ = read_datasets(data_candidates(data, "either"), [task])
        texts, source = list(dataset.queries), f"queries of {dataset.title}"
    distinct = list(dict.fromkeys(texts))
    order = np.random.default_rng(seed).permutation(len(distinct))
    return RealQueries([distinct[place] for place in order], f"{len(distinct):,} distinct {source}")


def _job_titles(data: str) -> tuple[list[str], str]:
    if data == SAMPLE:
        return [row["title"] for row in sample_rows("vacancy_titles")], "vacancy titles of the sample"
    root = Path(data)
    for name in _TITLE_FILES:
        if (root / name).is_file():
            rows = read_table((root / name).read_bytes(), root / name, ["vacancyTitle"])
            return [title for row in rows if (title := row["vacancyTitle"].strip())], f"vacancy titles of {name}"
    if (root / "onet-29.2").is_dir():
        return [title.title for title in read_onet(root / "onet-29.2").titles], "titles of O*NET"
    raise InputError(f"{data} holds neither jobbert/ nor onet-29.2/, so there are no job titles to ask for")
