"""Filters of the command line: `COLUMN=VALUE`, or `COLUMN=BEGINNING*`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from uwe_core.errors import InputError
from uwe_core.metadata_filter import Condition, MetadataFilter

# As a request to the service has it: by column the values of which any will do, or a prefix.
FilterFields: TypeAlias = dict[str, list[str] | dict[str, str]]


def filter_fields(words: Sequence[str]) -> FilterFields:
    """What the words ask for; a column that is named again may have either value.

    Raises:
        InputError: a word without '=', or a prefix beside another condition on its column.
    """
    fields: FilterFields = {}
    for word in words:
        column, equals, value = word.partition("=")
        if not (column and equals and value):
            raise InputError(f"--filter {word}: write COLUMN=VALUE, or COLUMN=BEGINNING*")
        before = fields.get(column, [])
        if isinstance(before, dict) or (value.endswith("*") and before):
            raise InputError(f"--filter {word}: a beginning is the only condition on its column")
        fields[column] = {"prefix": value[:-1]} if value.endswith("*") and value != "*" else [*before, value]
    return fields


def filter_of(fields: FilterFields) -> MetadataFilter | None:
    """The same for a ranker; None where nothing is asked for."""
    if not fields:
        return None
    return MetadataFilter(
        frozenset(
            Condition(column, prefix=wanted["prefix"])
            if isinstance(wanted, dict)
            else Condition(column, frozenset(wanted))
            for column, wanted in fields.items()
        )
    )
