"""Settings: environment over file over defaults, and errors that name the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.cli import Server
from service.settings import Settings
from uwe_core.errors import ConfigurationError
from uwe_core.scoring.candidates import CandidateConfig


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"UWE_{field.upper()}", raising=False)
    monkeypatch.delenv("UWE_SETTINGS", raising=False)


def use_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.toml").write_text(content)
    monkeypatch.setenv("UWE_SETTINGS", str(tmp_path / "settings.toml"))


def test_arguments_win_over_environment_over_file_over_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_file(monkeypatch, tmp_path, 'port = 1\nmax_top_k = 2\nmodel = "mpnet"\ntaxonomy = "esco"\n')
    monkeypatch.setenv("UWE_PORT", "3")
    monkeypatch.setenv("UWE_MAX_TOP_K", "4")
    settings = Settings.load(port=5)
    assert (settings.port, settings.max_top_k, settings.model, settings.max_queries) == (5, 4, "mpnet", 64)
    assert settings.all_tasks["jobnorm"].target_space == "esco-jobs"


def test_spaces_and_tasks_of_ones_own_come_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_file(
        monkeypatch,
        tmp_path,
        """
        [spaces.courses]
        path = "courses.csv"
        licence = "ours"
        [tasks.job2course]
        description = "Courses for a job."
        queries = "job titles"
        target_space = "courses"
        """,
    )
    settings = Settings.load()
    assert settings.spaces["courses"].licence == "ours"
    assert settings.all_tasks["job2course"].name == "job2course"
    assert len(settings.all_tasks) == 7


def test_candidates_are_a_number_or_a_table_and_come_from_the_environment_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_file(monkeypatch, tmp_path, '[candidates]\nads = 2000\ncourses = { count = 500, kind = "ivf" }')
    ads, courses = CandidateConfig(count=2000), CandidateConfig(count=500, kind="ivf")
    assert Settings.load().candidates == {"ads": ads, "courses": courses}
    monkeypatch.setenv("UWE_CANDIDATES__ADS", "300")
    assert Settings.load().candidates["ads"] == CandidateConfig(count=300)
    monkeypatch.setenv("UWE_CANDIDATES", '{"ads": 100, "courses": {"kind": "ivf", "count": 500}}')
    monkeypatch.delenv("UWE_CANDIDATES__ADS")
    assert Settings.load().candidates == {"ads": CandidateConfig(count=100), "courses": courses}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[candidates]\nads = 0", "candidates.ads"),
        ("port = 99999", "port"),
        ('precision = "float8"', "precision"),
        ("max_queries = 0", "max_queries"),
        ("surprise = 1", "surprise"),
        ('[tasks.x]\ndescription = "no space"', r"tasks\.x\.target_space"),
        ('[tasks."Not A Name"]\ndescription=""\nqueries=""\ntarget_space=""', "tasks"),
        ('[spaces.x]\nkind = "skill"', r"spaces\.x\.path"),
        ("port = ", "is not TOML"),
        ('[[api_keys]]\nname = "a"\nsha256 = "uwe_a key"', r"api_keys\.0\.sha256"),
        (2 * f'[[api_keys]]\nname = "a"\nsha256 = "{"0" * 64}"\n', "the same name"),
        ("metrics_need_admin = true", "scope 'admin'"),
        ('cors_origins = ["jobs.example"]', r"cors_origins\.0"),
    ],
)
def test_what_cannot_be_is_named(content: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_file(monkeypatch, tmp_path, content)
    with pytest.raises(ConfigurationError, match=message):
        Settings.load()


def test_a_settings_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UWE_SETTINGS", str(tmp_path / "nowhere.toml"))
    with pytest.raises(ConfigurationError, match="not a file"):
        Settings.load()


def test_other_variables_of_ours_do_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UWE_DATA_DIR", "data")
    Settings.load()


def test_keys_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UWE_API_KEYS", f'[{{"name": "shop", "sha256": "{"0" * 64}", "scopes": ["admin"]}}]')
    assert Settings.load().api_keys[0].scopes == {"admin"}


def test_a_key_in_the_wrong_place_is_refused_without_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (
        "uwe_secret",
        '[{"name": "shop", "sha256": "uwe_secret"}]',
        '[{"name": "shop", "key": "uwe_secret"}]',
    ):
        monkeypatch.setenv("UWE_API_KEYS", wrong)
        with pytest.raises(ConfigurationError, match="api_keys") as refused:
            Settings.load()
        assert "uwe_secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("", False), ("10.0.0.1", False), ("localhost.example", False),
    ],
)  # fmt: skip
def test_only_this_machine_gets_in_without_keys_unless_it_is_said(host: str, loopback: bool) -> None:
    if loopback:
        Settings(host=host).refuse_exposure()
    else:
        with pytest.raises(ConfigurationError, match="no api_keys"):
            Server(Settings(host=host))
    Settings(host=host, allow_anonymous=True).refuse_exposure()
    key = {"name": "shop", "sha256": "0" * 64}
    Settings.model_validate({"host": host, "api_keys": [key]}).refuse_exposure()
