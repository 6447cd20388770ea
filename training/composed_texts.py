"""Many distinct texts of the labour market from the labels of one space, where no public taxonomy has as many."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from uwe_core.errors import InputError
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.text import same_text_key

_LEVELS = ("", "basic", "advanced", "junior", "senior", "certified")
_TOOLS = ("", "with spreadsheets", "by hand", "with specialised software", "with mobile devices", "with machines")
_SECTORS = (
    "", "in hospitals", "in schools", "in retail", "on building sites", "in factories", "in public administration",
    "in hotels", "on farms", "in banks", "in laboratories", "in logistics",
)  # fmt: skip


def composed_space(space: TargetSpace, size: int) -> TargetSpace:
    """The first `size` of: all labels, their alternative labels, and all of these with a level, a tool and a sector.

    Texts that differ in case or outer whitespace alone count as one.

    Raises:
        InputError: the labels do not yield so many.
    """
    texts: dict[str, str] = {}
    for text in _texts(space):
        texts.setdefault(same_text_key(text), text)
        if len(texts) == size:
            info = SpaceInfo(name=f"composed-{space.info.name}", kind=space.info.kind, language=space.info.language)
            return TargetSpace(info, [str(number) for number in range(size)], list(texts.values()))
    raise InputError(f"{len(texts):,} texts can be composed of '{space.info.name}', not {size:,}")


def _texts(space: TargetSpace) -> Iterator[str]:
    alternatives = (row.get("alternative_labels", ()) for row in space.metadata_of(range(len(space))))
    labels = [*space.texts, *itertools.chain.from_iterable(alternatives)]
    for level, tool, sector in itertools.product(_LEVELS, _TOOLS, _SECTORS):
        for label in labels:
            yield " ".join(filter(None, (level, label, tool, sector)))
