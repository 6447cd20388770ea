"""A filter of a request: which metadata targets must have."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat

from service.schemas.body import Body
from uwe_core.metadata_filter import Condition, MetadataFilter, value_text

_MOST_FILTERED_COLUMNS, _MOST_FILTERED_VALUES, _LONGEST_FILTERED = 8, 32, 128
_FilterText = Annotated[str, Field(max_length=_LONGEST_FILTERED)]
_FilterValue = bool | int | FiniteFloat | _FilterText


class Prefix(Body):
    """A value that begins so."""

    prefix: str = Field(min_length=1, max_length=_LONGEST_FILTERED)


FilterField = Annotated[
    dict[
        Annotated[str, Field(max_length=_LONGEST_FILTERED)],
        Annotated[list[_FilterValue], Field(min_length=1, max_length=_MOST_FILTERED_VALUES)] | Prefix | _FilterValue,
    ],
    Field(
        max_length=_MOST_FILTERED_COLUMNS,
        description="Only targets with these metadata: by column a value, a list of values of which any will do, or "
        "a prefix. GET /spaces lists a space's columns.",
        examples=[{"type": ["knowledge"], "isco_group": {"prefix": "25"}}],
    ),
]


def metadata_filter(fields: FilterField) -> MetadataFilter | None:
    """The filter that a request asks for; None where it asks for none."""
    return (
        MetadataFilter(frozenset(_condition(column, wanted) for column, wanted in fields.items())) if fields else None
    )


def _condition(column: str, wanted: list[_FilterValue] | Prefix | _FilterValue) -> Condition:
    if isinstance(wanted, Prefix):
        return Condition(column, prefix=wanted.prefix)
    return Condition(column, frozenset(map(value_text, wanted if isinstance(wanted, list) else [wanted])))
