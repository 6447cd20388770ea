"""Sentences of a vacancy, with where they stand in it: lines, bullets, headings, marks at the end, long ones in parts.

Vacancies are half prose and half lists, often pasted from a web page. A break of the line therefore ends a sentence,
unless the line is long and goes on below in lower case, as lines do that were broken to fit a page.
"""

# ruff: noqa: RUF001 - marks of several languages look alike, and are meant

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# A sentence of more characters is cut: so many of them are fewer tokens than an encoder takes, and a part that long
# says several things anyway.
LONGEST = 400
# A line that was broken to fit a page is at least so long; a heading has at most so many words.
_WRAPPED_LINE, _HEADING_WORDS = 60, 6

_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# No text of a vacancy begins or separates with these but in lists; a dash or a star is a bullet at the start alone.
_BULLETS = "•▪▫◦‣⁃∙●○■□◆◇★☆✓✔✅➢➤➔→►▶»"
_MARKER = re.compile(rf"\s*(?:[{_BULLETS}·*+–—-]+|\(?(?:\d{{1,3}}|[A-Za-z])[.)])(?:\s+|(?<=[{_BULLETS}]))")
_INNER_BULLET = re.compile(rf"\s+[{_BULLETS}·]+\s*|[{_BULLETS}]+\s+")
# Closing quotes and brackets belong to the sentence. Marks of Chinese and Japanese need no space after them.
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*")
_WORD_BEFORE = re.compile(r"[^\s(\[\"'“‘/]+$")
# Followed by more of the same sentence, however that begins; without their last point, in lower case.
_NEVER_LAST = frozenset(
    {
        *("e.g", "i.e", "z.b", "d.h", "bzw", "ca", "approx", "vs", "cf", "incl", "excl", "resp", "dr", "mr", "mrs"),
        *("ms", "prof", "rev", "st", "no", "nr", "sec", "dept", "ext", "tel", "min", "max", "avg", "dipl"),
    }
)
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")
_PAUSE = re.compile(r"[;:,–—)\]]\s+")


@dataclass(frozen=True)
class Sentence:
    """A piece of a text: `text[start:end]`, counted in Unicode code points.

    Attributes:
        text: without outer whitespace, with at least one letter or digit.
        heading: announces what follows, such as `Your profile:`, and says nothing itself.
    """

    start: int
    end: int
    text: str
    heading: bool = False


def sentences(text: str, longest: int = LONGEST) -> list[Sentence]:
    """The sentences of a text in their order; they never overlap. Bullets and numbers of lists are left out.

    Args:
        text: any; pieces without a letter or digit are left out.
        longest: characters of a piece, above 0; longer sentences are cut at a pause, else between words, else anywhere
            but within a character that several code points make up.
    """
    found = []
    for block_start, block_end in _blocks(text):
        heading = _is_heading(text[block_start:block_end])
        for start, end in _within(text, block_start, block_end):
            for part_start, part_end in _parts(text, start, end, longest):
                piece = text[part_start:part_end]
                if any(map(str.isalnum, piece)):
                    found.append(Sentence(part_start, part_end, piece, heading))
    return found


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Lines without their bullets, those that were broken to fit a page put together again, at bullets within apart."""
    start = end = 0
    for line in _LINE.finditer(text):
        marker = _MARKER.match(text, line.start(), line.end())
        goes_on = end > start and marker is None and _goes_on(text[start:end], line.group())
        if not goes_on:
            yield from _between_bullets(text, start, end)
            start = line.start() if marker is None else marker.end()
        end = line.end()
    yield from _between_bullets(text, start, end)


def _goes_on(before: str, line: str) -> bool:
    last_line = before.rsplit("\n", 1)[-1].rstrip()
    return len(last_line) >= _WRAPPED_LINE and last_line[-1] not in ".!?:;…" and line.lstrip()[:1].islower()


def _between_bullets(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for bullet in _INNER_BULLET.finditer(text, start, end):
        yield start, bullet.start()
        start = bullet.end()
    yield start, end


def _is_heading(line: str) -> bool:
    line = line.strip()
    return line.endswith((":", "：")) and len(line.split()) <= _HEADING_WORDS


def _within(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for mark in _END.finditer(text, start, end):
        if _ends(text[start : mark.start()], mark.group(), text[mark.end() : end].lstrip()):
            yield start, mark.end()
            start = mark.end()
    yield start, end


def _ends(before: str, mark: str, after: str) -> bool:
    """Whether a mark ends a sentence, by the word before it and the first character behind it."""
    if not mark.startswith(".") or mark.startswith(".."):
        return not after[:1].islower()
    found = _WORD_BEFORE.search(before)
    word = found.group().lower() if found else ""
    if word in _NEVER_LAST or after[:1].islower():
        return False
    # An initial, as in "J. Smith"; after a longer acronym, as in "in the U.S. You will", a new sentence begins.
    return not (len(word) == 1 and word.isalpha())


def _parts(text: str, start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    """A sentence without outer whitespace, cut where it is too long."""
    while True:
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        if end - start <= longest:
            yield start, end
            return
        cut = _cut(text, start, start + longest)
        last = cut
        while text[last - 1].isspace():
            last -= 1
        yield start, last
        start = cut


def _cut(text: str, start: int, limit: int) -> int:
    """Where to cut before `limit`, behind the last pause or space of the second half, where there is one."""
    half = (start + limit + 1) // 2
    pauses = [pause.end() for pause in _PAUSE.finditer(text, half, limit)]
    if pauses:
        return pauses[-1]
    for place in range(limit, half, -1):
        if text[place].isspace():
            return place
    for place in range(limit, start, -1):
        if not _belongs_to_the_one_before(text, place):
            return place
    return limit


def _belongs_to_the_one_before(text: str, place: int) -> bool:
    """Whether a character is drawn as one with that before it: accents, emoji of several parts, skin tones."""
    character = text[place]
    return (
        unicodedata.category(character).startswith("M")
        or character in _JOINERS
        or text[place - 1] == "\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )
