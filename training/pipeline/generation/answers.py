"""AnswerCache: what a language model answered, by what it was asked, kept on disk as soon as it is known."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uwe_core.errors import ArtefactError, DiskFullError, FormatVersionError
from uwe_core.files import room_for

ANSWERS_FORMAT = 1
_WAIT_FOR_LOCK_S = 60.0


@dataclass(frozen=True)
class Tokens:
    """How much was read and written by a model."""

    input: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.input + self.output

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.input + other.input, self.output + other.output)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.input - other.input, self.output - other.output)

    def at_least(self, other: Tokens) -> Tokens:
        """The larger of each."""
        return Tokens(max(self.input, other.input), max(self.output, other.output))


def request_key(request: Mapping[str, Any], number: int) -> str:
    """SHA-256 of a request in canonical JSON; `number` tells apart questions put again after an answer of no use."""
    content = json.dumps([request, number], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


class AnswerCache:
    """Answers in one SQLite file. A process killed at any moment leaves every answer that was put, and no part of one.

    Raises:
        FormatVersionError: the file was written by another version of the format.
        DiskFullError: there is no room for another answer.
        ArtefactError: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with room_for(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_WAIT_FOR_LOCK_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise ArtefactError(f"{path} cannot be used as a file of answers: {error}") from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, key: str) -> bytes | None:
        """The answer to a request, or None where it was never put."""
        with self._guarded():
            row = self._connection.execute("SELECT body FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: str, body: bytes, used: Tokens) -> bytes:
        """Keep an answer and return the one that counts: the first put under its key, be it by another process."""
        with self._guarded():
            self._connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", (key, body, used.input, used.output)
            )
        return self.get(key) or body

    def spent(self) -> Tokens:
        """The tokens of all answers."""
        return self._tokens("SELECT total(input_tokens), total(output_tokens) FROM answers")

    def largest(self) -> Tokens:
        """The most tokens that one answer took."""
        return self._tokens("SELECT coalesce(max(input_tokens), 0), coalesce(max(output_tokens), 0) FROM answers")

    def _tokens(self, query: str) -> Tokens:
        with self._guarded():
            read, written = self._connection.execute(query).fetchone()
        return Tokens(int(read), int(written))

    def _prepare(self) -> None:
        with self._guarded():
            self._connection.execute("PRAGMA journal_mode = WAL")
            # Answers cost money: each is on the disk, not only with the operating system, before the next question.
            self._connection.execute("PRAGMA synchronous = FULL")
            found = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, ANSWERS_FORMAT):
                raise FormatVersionError(f"{self._path} has format version {found}, this is {ANSWERS_FORMAT}")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, body BLOB NOT NULL,"
                " input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL) WITHOUT ROWID"
            )
            self._connection.execute(f"PRAGMA user_version = {ANSWERS_FORMAT}")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise DiskFullError(self._path, "the disk is full") from error
            raise ArtefactError(f"{self._path} cannot be used as a file of answers: {error}") from error
