"""The data sets of WorkBench: built from small records, and of the right size on the real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.sources.esco import Occupation, Relation, Skill
from training.workbench import tasks
from training.workbench.dataset import AbsentDataset, RankingDataset
from training.workbench.local_data import local_workbench
from training.workbench.sample_data import sample_workbench
from uwe_core.errors import DataError

SKILLS = [
    Skill("s1", "weld metal", ("welding", "join metal"), "", "skill/competence", "cross-sector"),
    Skill("s2", "solder", ("soldering", "welding", "join metal"), "", "skill/competence", "cross-sector"),
    Skill("s3", "sing", (), "", "skill/competence", "transversal"),
]
JOBS = [Occupation("j1", "welder", (), "", "7212", ""), Occupation("j2", "singer", (), "", "2652", "")]
RELATIONS = [Relation("j1", "s1", "essential"), Relation("j1", "s2", "optional"), Relation("j2", "s3", "essential")]


def test_both_directions_between_jobs_and_skills() -> None:
    forward, backward = tasks.job2skill(SKILLS, JOBS, RELATIONS), tasks.skill2job(SKILLS, JOBS, RELATIONS)
    assert (forward.queries, forward.positives) == (["welder", "singer"], [[0, 1], [2]])
    assert (backward.queries, backward.positives) == (["weld metal", "solder", "sing"], [[0], [0], [1]])


def test_skillnorm_splits_by_first_alternative_label_of_any_skill() -> None:
    validation, test = tasks.skillnorm(SKILLS, "validation"), tasks.skillnorm(SKILLS, "test")
    # "welding" is the first label of one skill and a later one of another: validation, with both skills
    assert dict(zip(validation.queries, validation.positives, strict=True)) == {"welding": [0, 1], "soldering": [1]}
    assert dict(zip(test.queries, test.positives, strict=True)) == {"join metal": [0, 1]}


def test_skillextract_drops_labels_that_are_no_skill() -> None:
    rows = [("We weld.", "weld metal"), ("We weld.", "LABEL NOT PRESENT"), ("We rest.", "LABEL NOT PRESENT")]
    dataset = tasks.skillextract("tech", SKILLS, rows, "test")
    assert (dataset.name, dataset.queries, dataset.positives) == ("skillextract_tech", ["We weld."], [[0]])


def test_skillsim_ranks_all_skills_and_leaves_the_query_out() -> None:
    rows = [(f"skill {place}", f"other {place}", place % 2 == 0) for place in range(40)]
    validation, test = tasks.skillsim(rows, "validation"), tasks.skillsim(rows, "test")
    assert len(validation.targets) == len(test.targets) == 80
    assert (len(validation.queries), len(test.queries)) == (2, 18)
    assert not set(validation.queries) & set(test.queries)
    assert test.exclude_query


def test_jobnorm_keeps_one_query_per_row() -> None:
    dataset = tasks.jobnorm(JOBS, [("Welder m/f", "j1"), ("Welder m/f", "j1")], "validation")
    assert len(dataset.queries) == 2


def test_the_sample_has_all_six_tasks() -> None:
    datasets = [entry.read() for entry in sample_workbench()]
    sizes = {
        dataset.name: (len(dataset.queries), len(dataset.targets))
        for dataset in datasets
        if isinstance(dataset, RankingDataset)
    }
    assert sizes == {
        "job2skill": (160, 480),
        "skill2job": (480, 160),
        "skillnorm": (1440, 480),
        "skillextract": (240, 480),
        "skillsim": (296, 480),
        "jobnorm": (320, 160),
    }


def test_an_empty_folder_names_everything_that_is_absent(tmp_path: Path) -> None:
    for split in ("validation", "test"):
        absent = [entry.read() for entry in local_workbench(tmp_path, split)]
        assert all(isinstance(gap, AbsentDataset) and gap.reason for gap in absent)
        assert len(absent) == 8


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        local_workbench(tmp_path / "nowhere", "test")


@pytest.mark.data
def test_real_sizes_are_those_of_the_paper(data_dir: Path) -> None:
    sizes = {}
    for split in ("validation", "test"):
        for entry in local_workbench(data_dir, split):
            dataset = entry.read()
            if isinstance(dataset, RankingDataset):
                sizes[dataset.title] = (len(dataset.queries), len(dataset.targets))
    assert sizes["job2skill/test"] == (3039, 13939)
    assert sizes["skill2job/test"] == (13492, 3039)
    assert sizes["skillextract_tech/validation"] == (75, 13891)
    assert sizes["skillextract_house/validation"] == (61, 13891)
    assert sizes["jobnorm/validation"] == (15463, 2942)
    assert sizes["skillnorm/test"][1] == 13939
    assert 13_000 < sizes["skillnorm/validation"][0] < 13_500
    assert 70_000 < sizes["skillnorm/test"][0] < 75_000
    assert 2_000 < sizes["task2activity/test"][1] < 2_200
