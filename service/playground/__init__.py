"""The playground: a page for people, of files in this folder alone."""

from __future__ import annotations

from pathlib import Path

PAGE = "/"
FILES = "/playground"
FOLDER = Path(__file__).parent
PAGE_FILE = FOLDER / "index.html"


def is_playground(path: str) -> bool:
    """Whether a path is the page's or one of its files'."""
    return path == PAGE or path.startswith(f"{FILES}/")
