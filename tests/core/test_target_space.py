"""Target spaces: round trips, fingerprints, CSV, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwe_core.errors import ArtefactError, DataError, FingerprintError, FormatVersionError
from uwe_core.target_space import SpaceInfo, TargetSpace

INFO = SpaceInfo(name="courses", language="nl", licence="ours", attribution="by us")
COLUMNS: dict[str, list[Any]] = {
    "id": ["1", "2", "3"],
    "text": ["lassen", "bakken", "zingen"],
    "level": [1, 2, None],
    "tags": [["a"], [], ["b", "c"]],
}


def test_it_survives_the_disk(tmp_path: Path) -> None:
    space = TargetSpace.from_columns(INFO, COLUMNS)
    space.save(tmp_path / "courses")
    opened = TargetSpace.open(tmp_path / "courses")
    assert (opened.info, opened.ids, opened.texts) == (INFO, COLUMNS["id"], COLUMNS["text"])
    assert opened.fingerprint == space.fingerprint
    assert opened.metadata_of([2, 0, 1]) == [{"tags": ["b", "c"]}, {"level": 1, "tags": ["a"]}, {"level": 2}]


def test_without_metadata_there_is_none() -> None:
    assert TargetSpace(INFO, ["1"], ["lassen"]).metadata_of([0]) == [{}]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(str.strip)


@given(st.lists(texts, min_size=2, max_size=5), st.data())
def test_the_fingerprint_notices_every_change_of_ids_texts_and_order(words: list[str], data: st.DataObject) -> None:
    ids = [str(place) for place in range(len(words))]
    space = TargetSpace(INFO, ids, words)
    place = data.draw(st.integers(0, len(words) - 1))
    changed = [*words[:place], words[place] + "x", *words[place + 1 :]]
    assert TargetSpace(INFO, ids, changed).fingerprint != space.fingerprint
    assert TargetSpace(INFO, [*ids[:-1], "other"], words).fingerprint != space.fingerprint
    assert TargetSpace(INFO, ids[::-1], words[::-1]).fingerprint != space.fingerprint
    renamed = SpaceInfo(name="renamed")
    assert TargetSpace(renamed, ids, words, pa.table({"x": ids})).fingerprint == space.fingerprint


@pytest.mark.parametrize(
    ("ids", "words", "message"),
    [
        ([], [], "at least one target"),
        (["1", "1"], ["a", "b"], "'1' stands for more than one"),
        (["1", "2"], ["a"], "differ in length"),
        (["1"], ["  "], "text of '1' is empty"),
        (["1"], ["a\x00"], "text of '1' holds NUL"),
        (["1"], ["\udc00"], "lone surrogate"),
    ],
)
def test_targets_that_cannot_be_ranked_are_refused(ids: list[str], words: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TargetSpace(INFO, ids, words)


@pytest.mark.parametrize("name", ["", "Upper", "../up", ".hidden", "a b", "x" * 65])
def test_names_that_could_be_paths_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="name"):
        TargetSpace(SpaceInfo(name=name), ["1"], ["a"])


def test_csv_with_quotes_and_line_breaks_is_read(tmp_path: Path) -> None:
    path = tmp_path / "courses.csv"
    path.write_text('id,text,hours\n007,"weld, ""fast""",3\n8,"two\nlines",4\n', encoding="utf-8")
    space = TargetSpace.from_csv(INFO, path)
    assert space.ids == ["007", "8"]  # ids are text, whatever they look like
    assert space.texts == ['weld, "fast"', "two\nlines"]
    assert space.metadata_of([1]) == [{"hours": 4}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,name\n1,a\n", "no column text"),
        (b"id,text\n1,a,b\n", "CSV"),
        (b"id,text\n1,\n", "empty"),
        (b"\xff\xfe", "column|CSV"),
        (b"", "CSV"),
        (b"id,text\n", "at least one"),
        (b"id,text\n1,\xff\n", "CSV"),
        (b"id,text\n1,a\n1,b\n", "'1' stands for more than one"),
        (b"id,id,text\n1,2,a\n", "id"),
        (b"id,text,m,m\n1,a,2,3\n", "'m'"),
        (b"id,text,m\n1,a,\xff\n", "'m'"),
    ],
)
def test_csv_that_cannot_be_used_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "courses.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        TargetSpace.from_csv(INFO, path)


def test_csv_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "courses.csv"
    path.write_bytes(b"\xef\xbb\xbfid,text,level\r\nNA,null,\r\n\r\n2,b,x\r\n")  # byte order mark, line ends
    space = TargetSpace.from_csv(INFO, path)
    assert (space.ids, space.texts) == (["NA", "2"], ["null", "b"])  # words that others read as an absent value
    assert space.metadata_of([0, 1]) == [{}, {"level": "x"}]


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"id": ["1"], "text": ["other"]}, FingerprintError),
        ({"id": [1, 2, 3], "text": COLUMNS["text"]}, ArtefactError),
        ({"text": ["other"]}, ArtefactError),
        ({"id": ["1"], "text": [None]}, ArtefactError),
        ({"id": ["1", "1"], "text": ["a", "b"]}, ArtefactError),
    ],
)
def test_targets_that_were_exchanged_are_noticed(
    table: dict[str, list[Any]], error: type[ArtefactError], tmp_path: Path
) -> None:
    TargetSpace.from_columns(INFO, COLUMNS).save(tmp_path / "courses")
    pq.write_table(pa.table(table), tmp_path / "courses/targets.parquet")
    with pytest.raises(error):
        TargetSpace.open(tmp_path / "courses")


def test_a_later_version_with_more_fields_is_named_as_such(tmp_path: Path) -> None:
    TargetSpace.from_columns(INFO, COLUMNS).save(tmp_path / "courses")
    path = tmp_path / "courses/space.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 2, "news": 1}))
    with pytest.raises(FormatVersionError):
        TargetSpace.open(tmp_path / "courses")


def test_facts_that_are_not_text_are_a_clear_error(tmp_path: Path) -> None:
    TargetSpace.from_columns(INFO, COLUMNS).save(tmp_path / "courses")
    (tmp_path / "courses/space.json").write_bytes(b'{"name": "\xff"}')
    with pytest.raises(ArtefactError, match=r"space\.json"):
        TargetSpace.open(tmp_path / "courses")


def test_broken_files_are_clear_errors(tmp_path: Path) -> None:
    folder = tmp_path / "courses"
    TargetSpace.from_columns(INFO, COLUMNS).save(folder)
    facts = (folder / "space.json").read_text()
    (folder / "space.json").write_text(facts.replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(FormatVersionError):
        TargetSpace.open(folder)
    (folder / "space.json").write_text("{")
    with pytest.raises(ArtefactError, match=r"space\.json"):
        TargetSpace.open(folder)
    (folder / "space.json").write_text(facts)
    (folder / "targets.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtefactError, match=r"targets\.parquet"):
        TargetSpace.open(folder)
