"""Ingest: every row is kept or rejected with a reason, from every format, in bounded memory, all or nothing."""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.pipeline.ingest import REJECTED_FILE, VACANCIES_FILE, ingest, ingest_onet
from training.pipeline.stage import MANIFEST_FILE, run_stage
from training.sources.onet import read_onet
from training.sources.vacancies import Rejected, Vacancy, VacancyColumns, read_vacancies, vacancy_files
from uwe_core.errors import ChecksumError, DataError, FormatVersionError

ROWS = [
    {"id": "a", "title": "Nurse", "description": "You care.\nYou listen.", "date": "2026-01-02"},
    {"id": "b", "title": "Welder", "description": 'You weld, "fast".', "date": "2026-01-03"},
]
EXPECTED = [Vacancy(row["id"], row["title"], row["description"], row["date"]) for row in ROWS]


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_as(kind: str, path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path.with_suffix(kind)
    if kind == ".csv":
        return write_csv(path, rows)
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".ndjson", ".parquet"])
def test_every_format_gives_the_same_vacancies(kind: str, tmp_path: Path) -> None:
    assert list(read_vacancies(write_as(kind, tmp_path / "vacancies", ROWS))) == EXPECTED


def test_columns_may_have_other_names_and_ids_may_be_absent(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "jobs.csv", [{"job": "Nurse", "text": "You care."}])
    columns = VacancyColumns(title="job", description="text")
    assert list(read_vacancies(path, columns)) == [Vacancy("jobs.csv:1", "Nurse", "You care.", "")]
    with pytest.raises(DataError, match=r"jobs\.csv, line 1: has no column title, description; it has job, text"):
        list(read_vacancies(path))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"title": "Nurse"}', "description is missing"),
        (b'{"title": null, "description": "x"}', "title is missing"),
        (b'{"title": 7, "description": "x"}', "title is no text"),
        (b'{"title": " ", "description": "x"}', "title is empty"),
        (b'{"title": "a\\u0000", "description": "x"}', "title holds NUL"),
        (b'{"title": "\\ud800", "description": "x"}', "title holds a lone surrogate"),
        (b'{"title": "\xff", "description": "x"}', "is not UTF-8"),
        (b'{"title": ', "is not JSON"),
        (b"[1]", "is no JSON object"),
    ],
)
def test_a_bad_line_is_rejected_by_its_row_and_the_rest_is_read(line: bytes, reason: str, tmp_path: Path) -> None:
    good = json.dumps(ROWS[0]).encode()
    (tmp_path / "v.jsonl").write_bytes(good + b"\n\n" + line + b"\n" + json.dumps(ROWS[1]).encode())
    first, bad, last = read_vacancies(tmp_path / "v.jsonl")
    assert [first, last] == EXPECTED
    assert isinstance(bad, Rejected)
    assert (bad.file, bad.row) == ("v.jsonl", 2)
    assert bad.reason.startswith(reason)


def test_bytes_that_are_no_text_reject_their_row_of_a_csv_alone(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_bytes(b"\xef\xbb\xbfid,title,description\n1,Nurse,care\n2,\xff,weld\n3\n4,Welder,weld\n")
    rows = list(read_vacancies(tmp_path / "v.csv"))
    assert [type(row) for row in rows] == [Vacancy, Rejected, Rejected, Vacancy]
    assert rows[2] == Rejected("v.csv", 3, "has 1 fields, the header 3")


def test_files_come_from_paths_folders_and_globs_each_once(tmp_path: Path) -> None:
    for name in ("b.csv", "a.jsonl", "deep/c.parquet", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = vacancy_files([str(tmp_path), str(tmp_path / "*.csv"), str(tmp_path / "a.jsonl")])
    assert [path.name for path in found] == ["a.jsonl", "b.csv", "c.parquet"]
    for pattern, message in (("*.xml", "names no file"), ("notes.txt", "is no vacancy file")):
        with pytest.raises(DataError, match=message):
            vacancy_files([str(tmp_path / pattern)])


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
row = st.fixed_dictionaries(
    {"title": words | st.none(), "description": words, "id": st.sampled_from(["", "1", "2", "3"])}
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=st.lists(row, min_size=1, max_size=12))
def test_rows_in_are_rows_kept_and_rejected(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ingest")
    manifest, reused = ingest([str(write_as(".jsonl", folder / "v", rows))], folder / "out")
    assert not reused
    kept, rejected = (pq.read_table(folder / "out" / name) for name in (VACANCIES_FILE, REJECTED_FILE))
    assert len(rows) == manifest.counts["rows"] == kept.num_rows + rejected.num_rows
    assert manifest.counts["kept"] == kept.num_rows
    reasons = sum(count for what, count in manifest.counts.items() if what.startswith("rejected: "))
    assert reasons == rejected.num_rows
    assert len(set(kept["id"].to_pylist())) == kept.num_rows
    assert sorted(rejected["row"].to_pylist()) == rejected["row"].to_pylist()


def test_a_finished_ingest_is_reused_until_its_input_changes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "v.csv", ROWS)
    first, _ = ingest([str(path)], tmp_path / "out")
    again, reused = ingest([str(path)], tmp_path / "out")
    assert reused
    assert again == first
    write_csv(path, ROWS[:1])
    changed, reused = ingest([str(path)], tmp_path / "out")
    assert not reused
    assert changed.counts["rows"] == 1
    (tmp_path / "out" / VACANCIES_FILE).write_bytes(b"PAR1")
    with pytest.raises(ChecksumError, match="remove the folder"):
        ingest([str(path)], tmp_path / "out")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "v.csv", ROWS)
    checksums = [ingest([str(path)], tmp_path / name)[0].checksums for name in ("one", "two")]
    assert checksums[0] == checksums[1]


def test_work_that_fails_leaves_the_finished_stage(tmp_path: Path) -> None:
    def good(folder: Path) -> dict[str, int]:
        (folder / "data").write_text("old")
        return {"rows": 1}

    def bad(folder: Path) -> dict[str, int]:
        (folder / "data").write_text("half")
        raise DataError(folder, None, "broken")

    run_stage(tmp_path / "stage", "s", "1", good)
    with pytest.raises(DataError):
        run_stage(tmp_path / "stage", "s", "2", bad)
    assert (tmp_path / "stage/data").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]
    manifest = tmp_path / "stage" / MANIFEST_FILE
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(FormatVersionError):
        run_stage(tmp_path / "stage", "s", "1", good)


def test_memory_does_not_grow_with_the_number_of_vacancies(tmp_path: Path) -> None:
    """In a process of its own, since a process never gives its peak back; a row is a kilobyte here."""
    code = (
        "import resource, sys; from training.pipeline.ingest import ingest; from pathlib import Path\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "ingest([sys.argv[1]], Path(sys.argv[2]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown = []
    for rows in (20_000, 100_000):
        path = tmp_path / f"{rows}.jsonl"
        with path.open("w") as file:
            for number in range(rows):
                file.write(json.dumps({"title": f"job {number}", "description": f"{number} " + "words " * 160}) + "\n")
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(tmp_path / f"out{rows}")],
            capture_output=True,
            text=True,
            check=True,
        )
        grown.append(int(done.stdout) * (1 if sys.platform == "darwin" else 1024))
        path.unlink()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
    assert grown[1] < grown[0] + 40_000_000  # 80 MB more went through


@pytest.mark.data
def test_onet_has_its_official_sizes(data_dir: Path, tmp_path: Path) -> None:
    database = read_onet(data_dir / "onet-29.2")
    assert (len(database.occupations), len(database.tasks), len(database.technologies)) == (1_016, 18_796, 32_627)
    assert len(database.titles) + database.dropped.total() == 56_560 + 7_796
    manifest, _ = ingest_onet(data_dir / "onet-29.2", tmp_path / "onet")
    assert manifest.counts["titles"] == len(database.titles)


def test_a_row_of_onet_that_names_no_occupation_is_an_error(tmp_path: Path) -> None:
    files = {
        "Occupation Data.tsv": "O*NET-SOC Code\tTitle\tDescription\n1\tNurse\tCares.\n",
        "Alternate Titles.tsv": "O*NET-SOC Code\tAlternate Title\n1\tRN\n1\trn\n",
        "Sample of Reported Titles.tsv": "O*NET-SOC Code\tReported Job Title\n1\tWard Nurse\n",
        "Task Statements.tsv": "O*NET-SOC Code\tTask ID\tTask\n1\t7\tCare for people.\n",
        "Technology Skills.tsv": "O*NET-SOC Code\tExample\tCommodity Title\n2\tExcel\tSpreadsheets\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=r"Technology Skills\.tsv, line 2: 2 is not among the occupations"):
        read_onet(tmp_path)
    (tmp_path / "Technology Skills.tsv").write_text(files["Technology Skills.tsv"].replace("2\tE", "1\tE"))
    database = read_onet(tmp_path)
    assert [title.title for title in database.titles] == ["RN", "Ward Nurse"]
    assert database.dropped.total() == 1
    (tmp_path / "Task Statements.tsv").unlink()
    with pytest.raises(DataError, match=r"Task Statements\.tsv: is missing"):
        read_onet(tmp_path)
