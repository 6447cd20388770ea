"""Folders and files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from uwe_core.files import atomic_folder, write_text


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    destination = tmp_path / "data"
    with atomic_folder(destination) as aside:
        (aside / "one").write_text("old")
    with pytest.raises(OSError, match="nowhere"), atomic_folder(destination) as aside:
        (aside / "nowhere/one").write_text("new")
    assert (destination / "one").read_text() == "old"
    with atomic_folder(destination) as aside:
        (aside / "two").write_text("new")
    assert [path.name for path in destination.iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_killed_process_leaves_the_old_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/one").write_text("old")
    code = (
        "import sys, time; from pathlib import Path; from uwe_core.files import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1])) as aside:\n"
        "    (aside / 'one').write_text('new'); print('writing', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "data")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "data/one").read_text() == "old"
    with atomic_folder(tmp_path / "data") as aside:  # what the killed process left behind is in nobody's way
        (aside / "one").write_text("newer")
    assert (tmp_path / "data/one").read_text() == "newer"


def test_an_error_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "deep/data") as aside:  # noqa: PT012
        (aside / "one").write_text("half")
        raise KeyboardInterrupt
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_file_is_replaced_whole_and_readable(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "a").stat().st_mode & 0o444 == 0o444
    assert len(list(tmp_path.iterdir())) == 1


def test_a_text_that_cannot_be_written_leaves_the_old_file_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a", "\ud800")
    assert (tmp_path / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
