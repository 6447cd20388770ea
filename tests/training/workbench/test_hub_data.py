"""WorkBench from the model hub: small files with the hub's columns, read by the real code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.test_esco import FILES, write
from training.workbench.dataset import AbsentDataset, RankingDataset, Split
from training.workbench.hub_data import hub_workbench
from uwe_core.errors import ConfigurationError, DataError

TABLES: Mapping[tuple[str, str], Mapping[str, list[Any]]] = {
    ("TechWolf/vacancy-job-to-skill", "validation"): {
        "vacancy_job_title": ["Welder", "Choir singer"],
        "tagged_esco_skills": [["welding", "no such skill"], ["sing", "welding"]],
    },
    ("TechWolf/skill-extraction-tech", "test"): {
        "sentence": ["You weld.", "You weld.", "You rest."],
        "label": ["welding", "UNDERSPECIFIED", "LABEL NOT PRESENT"],
    },
    ("TechWolf/skill-extraction-house", "test"): {"sentence": ["You sing."], "label": ["sing"]},
    ("TechWolf/SkillMatch-1K", "test"): {
        "skill_a": [f"skill {place}" for place in range(20)],
        "skill_b": [f"other {place}" for place in range(20)],
        "related": [1] * 10 + [0] * 10,
    },
    ("TechWolf/JobBERT-evaluation-dataset", "test"): {
        "esco_URI": ["uri:o1", "uri:o1"],
        "esco_job_title": ["welder", "welder"],
        "vacancy_job_title": ["Welder (m/f)", "Welder (m/f)"],
    },
}


@pytest.fixture
def esco(tmp_path: Path) -> Path:
    for version in ("1.2.0", "1.1.0", "1.0"):
        write(tmp_path / f"esco/esco-{version}-en", FILES)
    return tmp_path / "esco"


def read(esco: Path, split: Split) -> dict[str, RankingDataset | AbsentDataset]:
    def fetch(hub_id: str) -> Path:
        folder = esco.parent / hub_id
        for (name, part), columns in TABLES.items():
            if name == hub_id:
                (folder / "data").mkdir(parents=True, exist_ok=True)
                pq.write_table(pa.table(dict(columns)), folder / f"data/{part}-00000-of-00001.parquet")
        return folder

    return {entry.name: entry.read() for entry in hub_workbench(split, fetch, esco)}


def shown(dataset: RankingDataset | AbsentDataset) -> tuple[Any, Any, Any]:
    assert isinstance(dataset, RankingDataset)
    return dataset.queries, dataset.targets, dataset.positives


def test_the_hubs_columns_become_data_sets(esco: Path) -> None:
    test = read(esco, "test")
    assert shown(test["job2skill"]) == (["welder"], ["welding", "sing"], [[0]])
    assert shown(test["skillextract_tech"]) == (["You weld."], ["welding", "sing"], [[0]])
    assert shown(test["skillextract_house"]) == (["You sing."], ["welding", "sing"], [[1]])
    assert shown(test["jobnorm"]) == (["Welder (m/f)"] * 2, ["welder"], [[0], [0]])
    skillsim = test["skillsim"]
    assert isinstance(skillsim, RankingDataset)
    assert (len(skillsim.queries), len(skillsim.targets)) == (9, 40)


def test_vacancies_validate_both_directions(esco: Path) -> None:
    vacancies = {name: columns for (name, _), columns in TABLES.items() if "vacancy" in name}
    assert vacancies
    hub = {entry.name: entry for entry in hub_workbench("validation", lambda hub_id: _only_vacancies(esco), esco)}
    assert shown(hub["job2skill"].read()) == (["Welder", "Choir singer"], ["welding", "sing"], [[0], [0, 1]])
    assert shown(hub["skill2job"].read()) == (["welding", "sing"], ["Welder", "Choir singer"], [[0, 1], [1]])


def _only_vacancies(esco: Path) -> Path:
    folder = esco.parent / "vacancies"
    folder.mkdir(exist_ok=True)
    columns = TABLES["TechWolf/vacancy-job-to-skill", "validation"]
    pq.write_table(pa.table(dict(columns)), folder / "validation.parquet")
    return folder


def test_a_column_that_is_not_there_is_named(esco: Path) -> None:
    folder = esco.parent / "bad"
    folder.mkdir()
    pq.write_table(pa.table({"sentence": ["You weld."]}), folder / "test.parquet")
    entries = {entry.name: entry for entry in hub_workbench("test", lambda hub_id: folder, esco)}
    with pytest.raises(DataError, match="has no column label"):
        entries["skillextract_tech"].read()


def test_without_network_what_the_hub_has_is_absent_and_what_esco_gives_is_there(esco: Path) -> None:
    datasets = {entry.name: entry.read() for entry in hub_workbench("test", esco=esco)}
    absent = {name for name, dataset in datasets.items() if isinstance(dataset, AbsentDataset)}
    assert absent == {"skillextract_tech", "skillextract_house", "skillsim", "jobnorm", "task2activity"}
    gap = datasets["jobnorm"]
    assert isinstance(gap, AbsentDataset)
    assert "model hub" in gap.reason


def test_without_a_folder_of_esco_it_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UWE_ESCO_DIR", raising=False)
    with pytest.raises(ConfigurationError, match="UWE_ESCO_DIR"):
        hub_workbench("test")
