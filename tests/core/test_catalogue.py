"""Spaces by name: the sample, imports, and those of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from uwe_core.catalogue import SpaceCatalogue, SpaceSource
from uwe_core.errors import UnknownSpaceError
from uwe_core.target_space import SpaceInfo, TargetSpace


def test_the_catalogue_finds_the_sample_imports_and_own_spaces(tmp_path: Path) -> None:
    TargetSpace(SpaceInfo(name="esco-skills"), ["1"], ["weld"]).save(tmp_path / "taxonomies/esco/skills")
    (tmp_path / "own.csv").write_text("id,text\n1,course\n")
    catalogue = SpaceCatalogue(tmp_path, {"courses": SpaceSource(path=tmp_path / "own.csv", licence="ours")})
    assert catalogue.names == ["courses", "esco-skills", "sample-jobs", "sample-skills"]
    assert catalogue.open("courses").info == SpaceInfo(name="courses", licence="ours")
    assert catalogue.open("esco-skills").texts == ["weld"]
    folder = SpaceCatalogue(tmp_path, {"renamed": SpaceSource(path=tmp_path / "taxonomies/esco/skills")})
    assert folder.open("renamed").info.name == "renamed"
    with pytest.raises(UnknownSpaceError, match="courses, esco-skills"):
        catalogue.open("nonsense")
