"""Which generated texts are kept and why others are not, and texts that were generated before, from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.pipeline.generation.generate import TEXTS_FILE, UNFINISHED_FILE, generate
from training.pipeline.generation.generated_texts import (
    FREE_RULE,
    IMPLYING_RULE,
    TITLE_RULE,
    DescribedSkill,
    Rule,
    clean,
    names_skill,
    valid_title,
)
from training.sources.esco import read_release
from training.sources.generated import GeneratedFile
from uwe_core.errors import DataError
from uwe_core.text import same_text_key, unreadable_reason

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/formulas.json").read_text())
HEADER = "conceptUri\tpreferredLabel\tjob_titles\tparaphrases\tsentences\n"
HASKELL = DescribedSkill("u:haskell", "Haskell", "A functional language.")
WELDING = DescribedSkill("u:weld", "weld metal", "Join metal by heat.")


def no_progress(done: int, total: int) -> None:
    pass


def write_file(folder: Path, *rows: str) -> Path:
    path = folder / "texts.tsv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


@pytest.mark.parametrize(("title", "valid"), GOLDEN["valid_title_rule"].items())
def test_a_title_is_valid_from_two_words_on(title: str, valid: bool) -> None:
    assert valid_title(title) is valid


@pytest.mark.parametrize(
    ("text", "label", "names"),
    [
        ("HASKELL Developer", "Haskell", True),
        ("Dev (haskell)/remote", "Haskell", True),
        ("Haskellian Logic Lead", "Haskell", False),
        ("C++ Developer", "C", False),
        ("R&D Lead", "R", False),
        ("Senior C# developer", "C#", True),
        ("C/C++ developer", "C", True),
    ],
)
def test_a_label_is_named_as_whole_words_in_any_case(text: str, label: str, names: bool) -> None:
    assert names_skill(text, label) is names


def test_every_text_that_is_dropped_is_counted_by_its_reason() -> None:
    raw = [" ", "Coder", "Haskell Dev ", "haskell dev", "Senior Haskell Dev", "Type\x00 Lead", "Type Lead", "TYPE LEAD"]
    cleaned = clean(raw, "Haskell", TITLE_RULE)
    assert cleaned.kept == ["Haskell Dev", "Type Lead"]
    reasons = {"blank": 1, "one word": 1, "duplicate": 1, "names the skill": 2, "unreadable": 1}
    assert cleaned.dropped == reasons
    assert clean(["Weld Metal", "to weld metal"], "weld metal", FREE_RULE).dropped == {"equals the skill's label": 1}


def test_after_titles_that_were_given_none_may_name_the_skill() -> None:
    assert clean(["Haskell Dev", "Type Lead"], "Haskell", TITLE_RULE, ["type LEAD"]).dropped == {
        "names the skill": 1,
        "duplicate": 1,
    }
    assert clean(["You know Haskell."], "Haskell", IMPLYING_RULE).dropped == {"names the skill": 1}


@given(
    raw=st.lists(st.text("aB \x00", max_size=4) | st.sampled_from(["the a", "b a b", "A", "a"])),
    before=st.lists(st.sampled_from(["a b", "B b"])),
    rule=st.sampled_from([TITLE_RULE, FREE_RULE, IMPLYING_RULE]),
)
def test_kept_texts_obey_the_rule_and_nothing_is_lost(raw: list[str], before: list[str], rule: Rule) -> None:
    cleaned = clean(raw, "a", rule, before)
    assert len(raw) == len(cleaned.kept) + cleaned.dropped.total()
    assert not any(unreadable_reason(text) or text != text.strip() for text in cleaned.kept)
    keys = [same_text_key(text) for text in cleaned.kept]
    assert len(keys) == len({*keys}) == len({*keys} - {same_text_key(text) for text in before})
    assert all(len(text.split()) >= rule.least_words for text in cleaned.kept)
    naming = [position for position, text in enumerate(cleaned.kept) if names_skill(text, "a")]
    if rule.naming != "anywhere":
        assert naming in ([], [0] if rule.naming == "first" and not before else [])


def test_a_file_gives_the_texts_of_the_taxonomy_in_its_order(tmp_path: Path) -> None:
    path = write_file(
        tmp_path,
        "u:weld\tweld metal\tWelder - Night|Weld metal pro|Welder\tjoin metal|WELD METAL\t",
        'u:haskell\tHaskell\tHaskell Dev|Type Lead||type lead\tlazy coding\t"You" like monads.|Ship "types".',
        "u:gone\told skill\tTwo Titles|Of It\t\tA sentence.",
    )
    seen: list[tuple[int, int]] = []
    manifest, _ = generate([HASKELL, WELDING], tmp_path / "out", GeneratedFile(path), lambda *done: seen.append(done))
    rows = pq.read_table(tmp_path / "out" / TEXTS_FILE).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("u:haskell", "title", 0, "Haskell Dev"),
        ("u:haskell", "title", 1, "Type Lead"),
        ("u:haskell", "alternative", 0, "lazy coding"),
        ("u:haskell", "sentence", 0, '"You" like monads.'),
        ("u:haskell", "sentence", 1, 'Ship "types".'),
        ("u:weld", "title", 0, "Welder - Night"),
        ("u:weld", "alternative", 0, "join metal"),
    ]
    (unfinished,) = pq.read_table(tmp_path / "out" / UNFINISHED_FILE).to_pylist()
    assert tuple(unfinished.values()) == ("u:weld", "sentence", "no texts in the file", 0)
    assert manifest.counts == {
        "skills": 2,
        "texts: title": 3,
        "texts: alternative": 2,
        "texts: sentence": 2,
        "dropped title: blank": 1,
        "dropped title: duplicate": 1,
        "dropped title: names the skill": 1,
        "dropped title: one word": 1,
        "dropped alternative: equals the skill's label": 1,
        "skills outside the taxonomy": 1,
        "texts of skills outside the taxonomy": 3,
        "unfinished skills": 1,
        "unfinished sentence: no texts in the file": 1,
    }
    assert seen == [(1, 2), (2, 2)]


def test_a_skill_without_a_row_is_unfinished_in_every_kind(tmp_path: Path) -> None:
    source = GeneratedFile(write_file(tmp_path))
    generated = source.texts_of([WELDING], no_progress)
    assert [row.kind for row in generated.unfinished] == ["title", "alternative", "sentence"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("\tHaskell\ta b\tc\td", r"texts\.tsv, line 3: conceptUri is empty"),
        ("u:weld\tHaskell\ta b\tc\td", r"texts\.tsv, line 3: conceptUri u:weld stands on line 2 already"),
        ("u:haskell\t \ta b\tc\td", r"texts\.tsv, line 3: preferredLabel is empty"),
        ("u:haskell\tHaskell\ta b", r"texts\.tsv, line 3: has 3 fields, the header 5"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(row: str, message: str, tmp_path: Path) -> None:
    source = GeneratedFile(write_file(tmp_path, "u:weld\tweld metal\ta b\tc\td", row))
    with pytest.raises(DataError, match=message):
        source.texts_of([WELDING], no_progress)
    with pytest.raises(DataError, match="is missing"):
        GeneratedFile(tmp_path / "none.tsv")


@pytest.mark.data
def test_the_synthetic_texts_of_esco_have_their_official_sizes(data_dir: Path, tmp_path: Path) -> None:
    release = read_release(data_dir / "esco-1.2.0-en")
    skills = [DescribedSkill(skill.uri, skill.label, skill.description) for skill in release.skills]
    source = GeneratedFile(data_dir / "synthetic-esco/texts.tsv")
    counts = generate(skills, tmp_path / "out", source, no_progress)[0].counts
    assert counts["skills"] == 13_939
    assert counts["unfinished skills"] == 694
    assert "skills outside the taxonomy" not in counts
    for kind, each in (("title", 5), ("alternative", 3), ("sentence", 2)):
        dropped = sum(count for what, count in counts.items() if what.startswith(f"dropped {kind}: "))
        assert counts[f"texts: {kind}"] + dropped == 13_245 * each
