"""Import of ESCO: official files of any version and language, and complaints that name file and line."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from training.sources.esco import ATTRIBUTION, Cleaning, read_occupations, read_release, read_skills
from training.sources.files import SourceFolder
from training.taxonomy import esco_taxonomy
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import DataError

SKILLS = (
    "conceptType,conceptUri,skillType,reuseLevel,preferredLabel,altLabels,status,description\n"
    'S,uri:s1,knowledge,cross-sector,welding,"soldering\njoining metal",released,"Joins, for ever."\n'
    "S,uri:s2,skill/competence,transversal,sing,,released,\n"
)
OCCUPATIONS = (
    "conceptType,conceptUri,iscoGroup,preferredLabel,altLabels,description,code\n"
    "O,uri:o1,7212,welder,metal joiner,Welds.,7212.3\n"
)
RELATIONS = "occupationUri,occupationLabel,relationType,skillUri,skillLabel\nuri:o1,welder,essential,uri:s1,welding\n"
FILES = {"skills_en.csv": SKILLS, "occupations_en.csv": OCCUPATIONS, "occupationSkillRelations_en.csv": RELATIONS}


def write(folder: Path, files: Mapping[str, str | bytes] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_a_release_becomes_two_spaces_and_their_relations(tmp_path: Path) -> None:
    release = read_release(write(tmp_path / "esco-1.2.0-en"))
    assert (release.version, release.language) == ("1.2.0", "en")
    home = tmp_path / "home"
    esco_taxonomy(release).save(home)
    catalogue = SpaceCatalogue(home)
    skills, jobs = catalogue.open("esco-skills"), catalogue.open("esco-jobs")
    assert (skills.ids, skills.texts) == (["uri:s1", "uri:s2"], ["welding", "sing"])
    assert skills.metadata_of([0, 1]) == [
        {
            "type": "knowledge", "reuse_level": "cross-sector", "description": "Joins, for ever.",
            "alternative_labels": ["soldering", "joining metal"],
        },
        {"type": "skill/competence", "reuse_level": "transversal"},
    ]  # fmt: skip
    assert jobs.metadata_of([0])[0]["isco_group"] == "7212"
    assert skills.info.attribution == ATTRIBUTION  # nothing was changed, and nothing is said to be
    assert skills.info.taxonomy_version == "ESCO v1.2.0"
    assert (home / "taxonomies/esco/relations.parquet").is_file()


def test_what_is_changed_is_counted_and_said(tmp_path: Path) -> None:
    changed = SKILLS.replace("soldering\n", "soldering\nwelding\nsoldering\n").replace(",sing,", ", sing ,")
    retired = changed + "S,uri:s3,knowledge,transversal,alchemy,,obsoleted,\n"
    release = read_release(write(tmp_path / "esco", {**FILES, "skills_en.csv": retired}), version="9.9.9")
    assert [skill.label for skill in release.skills] == ["welding", "sing"]
    assert release.skills[0].alternative_labels == ("soldering", "joining metal")
    attribution = esco_taxonomy(release).skills.info.attribution
    assert attribution is not None
    assert attribution.startswith(f"{ATTRIBUTION} Modified: 2 alternative labels")
    assert "1 concepts that are not released dropped" in attribution


def test_a_zip_with_folders_inside_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ESCO dataset - v1.1.2 - classification - fr - csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"export/fr/{name.replace('_en', '_fr')}", "\ufeff" + content)
    release = read_release(path)
    assert (release.version, release.language, len(release.relations)) == ("1.1.2", "fr", 1)


def test_relations_of_version_one_have_no_language_in_their_name(tmp_path: Path) -> None:
    files = {
        name.replace("occupationSkillRelations_en", "occupationSkillRelations"): text for name, text in FILES.items()
    }
    assert len(read_release(write(tmp_path / "esco", files)).relations) == 1


def test_of_several_languages_one_must_be_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "esco", FILES | {name.replace("_en", "_nl"): text for name, text in FILES.items()})
    with pytest.raises(DataError, match="several languages"):
        read_release(folder)
    assert read_release(folder, language="nl").language == "nl"
    with pytest.raises(DataError, match=r"no skills_de\.csv"):
        read_release(folder, language="de")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("skills_en.csv", SKILLS.replace("preferredLabel", "label"), r"skills_en\.csv, line 1: has no column"),
        ("skills_en.csv", SKILLS.replace(",sing,", ", ,"), r"skills_en\.csv, line 4: preferredLabel is empty"),
        ("skills_en.csv", SKILLS.replace("uri:s2", "uri:s1"), r"skills_en\.csv, line 4: .*stands on line 2"),
        ("skills_en.csv", SKILLS.replace("uri:s2", ""), r"skills_en\.csv, line 4: conceptUri is empty"),
        ("skills_en.csv", SKILLS + "S,uri:s3\n", r"skills_en\.csv, line 5: has 2 fields, the header 8"),
        ("skills_en.csv", SKILLS.encode() + b"\xff\n", r"skills_en\.csv, line 5: is not UTF-8"),
        ("skills_en.csv", SKILLS + 'S,"open\n', r"skills_en\.csv, line 5: is not CSV"),
        ("occupationSkillRelations_en.csv", RELATIONS.replace("uri:s1", "uri:x"), r"line 2: skillUri uri:x is not"),
        ("occupationSkillRelations_en.csv", RELATIONS.replace("uri:o1", "uri:x"), r"line 2: occupationUri uri:x"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_by_file_and_line(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_release(write(tmp_path / "esco", {**FILES, name: content}))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    files = {other: text for other, text in FILES.items() if other != name}
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_release(write(tmp_path / "esco", files))


def test_all_bad_rows_are_named_at_once(tmp_path: Path) -> None:
    rows = SKILLS + "".join(f"S,,knowledge,transversal,bad {place},,released,\n" for place in range(30))
    with pytest.raises(DataError) as raised:
        read_release(write(tmp_path / "esco", {**FILES, "skills_en.csv": rows}))
    assert str(raised.value).count("conceptUri is empty") == 20
    assert "and 10 more" in str(raised.value)


def test_a_taxonomy_is_not_replaced_unasked(tmp_path: Path) -> None:
    taxonomy = esco_taxonomy(read_release(write(tmp_path / "esco")))
    taxonomy.save(tmp_path / "home")
    with pytest.raises(DataError, match="--replace"):
        taxonomy.save(tmp_path / "home")
    taxonomy.save(tmp_path / "home", replace=True)
    assert [path.name for path in (tmp_path / "home/taxonomies").iterdir()] == ["esco"]


@pytest.mark.data
def test_the_real_releases_have_their_official_sizes(data_dir: Path) -> None:
    release = read_release(data_dir / "esco-1.2.0-en")
    assert (len(release.skills), len(release.occupations), len(release.relations)) == (13_939, 3_039, 129_004)
    assert len(read_skills(SourceFolder(data_dir / "esco-1.1.0-en"), "skills_en.csv", Cleaning())) == 13_891
    assert len(read_occupations(SourceFolder(data_dir / "esco-1.0-en"), "occupations_en.csv", Cleaning())) == 2_942
