"""The fields of a request that hold texts, so that an error can say which text of which field is to blame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from uwe_core.errors import LongTextError, TextError


@dataclass(frozen=True)
class TextField:
    """A field with one text, or with several.

    Attributes:
        name: as callers write it.
        texts: in it.
        several: whether it is a list, of which a text has a position.
    """

    name: str
    texts: Sequence[str]
    several: bool = True

    def place(self, position: int) -> str:
        """Where a text stands, as callers write it."""
        return f"{self.name}[{position}]" if self.several else self.name

    def refuse_longer(self, most_chars: int) -> None:
        """Refuse texts of more characters.

        Raises:
            LongTextError: naming the first of them.
        """
        for position, text in enumerate(self.texts):
            if len(text) > most_chars:
                reason = f"has {len(text)} characters; it may have {most_chars}"
                raise LongTextError(position, reason, self.place(position))


def text_field(name: str, text: str | None, plural: str, texts: Sequence[str] | None) -> TextField:
    """The field that a caller used, of one for a text and one for several."""
    return TextField(name, [text], several=False) if text is not None else TextField(plural, texts or [])


@contextmanager
def naming(*fields: TextField) -> Iterator[None]:
    """Errors about one of several texts name its place, where positions count through all fields in this order."""
    try:
        yield
    except TextError as error:
        places = [field.place(position) for field in fields for position in range(len(field.texts))]
        raise error.placed(places[error.position]) from error
