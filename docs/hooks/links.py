"""Links out of docs/, to a file of the repository, work in the repository alone: the site shows their text."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_RELATIVE_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """What mkdocs calls for each page."""
    folder = posixpath.dirname(page.file.src_uri)

    def shown(link: re.Match[str]) -> str:
        leaves = posixpath.normpath(posixpath.join(folder, link[2])).startswith("../")
        return link[1] if leaves else link[0]

    return _RELATIVE_LINK.sub(shown, markdown)
