"""What matching the alternative labels of ESCO's occupations brings on vacancy titles: `python aliases.py DATA_DIR`.

DATA_DIR has the layout of docs/evaluation.md; the figures stand in docs/service.md, "Aliases".
"""

# ruff: noqa: T201 - a script for a terminal

from __future__ import annotations

import csv
import random
import statistics
import sys
from pathlib import Path

from training.sources.esco import Cleaning, EscoRelease, read_occupations
from training.sources.files import SourceFolder
from training.taxonomy import job_space
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.target_space import TargetSpace
from uwe_core.tasks import RankingTask
from uwe_core.token_index import TokenIndex

_TITLES, _SEED = 300, 7


def measure(model: UweModel, space: TargetSpace, titles: list[tuple[str, str]]) -> list[float]:
    """The average precision of each title, which has one occupation; prints the means and the size of the index."""
    index = TokenIndex.build(model.encoder, space, "int8")
    task = RankingTask(name="titles", description="", queries="", target_space=space.info.name)
    ranker = Ranker(model, {space.info.name: RankableSpace(model, space, index)}, {task.name: task})
    precisions = []
    for title, occupation in titles:
        ranking = ranker.rank(task.name, [title], len(space)).rankings[0]
        precisions.append(1 / next(target.rank for target in ranking if target.id == occupation))
    within_ten = statistics.mean(precision >= 1 / 10 for precision in precisions)
    print(f"{index.nbytes / 1e6:.1f} MB, MAP {100 * statistics.mean(precisions):.1f}, RP@10 {100 * within_ten:.1f}")
    return precisions


def main(data: Path) -> None:
    """Measure with occupations' own labels, then with the alternative ones too."""
    cleaning = Cleaning()
    occupations = read_occupations(SourceFolder(data / "esco-1.0-en"), "occupations_en.csv", cleaning)
    space = job_space(EscoRelease("1.0", "en", [], occupations, [], cleaning), "jobs")
    with (data / "jobbert" / "titles_validation.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["vacancyTitle"], row["conceptUri"]) for row in csv.DictReader(file)]
    known = set(space.ids)
    titles = [row for row in rows if row[1] in known]
    random.Random(_SEED).shuffle(titles)  # noqa: S311 - a sample, no secret
    model = UweModel.from_pretrained("embedded")
    own, matched = (measure(model, each, titles[:_TITLES]) for each in (space, space.matching("alternative_labels")))
    gains = [after - before for before, after in zip(own, matched, strict=True)]
    error = statistics.stdev(gains) / len(gains) ** 0.5
    print(f"difference {100 * statistics.mean(gains):.1f}, standard error {100 * error:.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
