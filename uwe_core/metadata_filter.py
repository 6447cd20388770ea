"""MetadataFilter: which targets of a space may be ranked, by what is known of each.

Values are compared as texts, so that a code such as `2512` is found whether a file's reader made a number or a text of
it, and so that the beginning of a number can be asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool
from torch import Tensor

from uwe_core.errors import InputError

TargetMask = Bool[Tensor, " targets"]


@dataclass(frozen=True)
class Condition:
    """What one column must hold: any of some values, or, where `prefix` is given, a value that begins with it.

    Attributes:
        values: as `value_text` writes them; not looked at beside a prefix.
        prefix: of at least one character.
    """

    column: str
    values: frozenset[str] = frozenset()
    prefix: str | None = None

    def accepts(self, value: str) -> bool:
        """Whether one value, as `value_text` writes it, is what is wanted."""
        return value in self.values if self.prefix is None else value.startswith(self.prefix)


@dataclass(frozen=True)
class MetadataFilter:
    """Conditions that a target must meet, all of them; a list meets one where any of its elements does.

    Where a target's value is absent it meets none.

    Raises:
        InputError: no condition.
    """

    conditions: frozenset[Condition]

    def __post_init__(self) -> None:
        if not self.conditions:
            raise InputError("a filter needs a condition")

    def mask(self, metadata: pa.Table) -> TargetMask:
        """Whether each target may be ranked.

        Raises:
            InputError: a column that the metadata do not have.
        """
        check_columns(self, metadata.column_names)
        mask = torch.ones(metadata.num_rows, dtype=torch.bool)
        for condition in self.conditions:
            mask &= _meets(condition, metadata[condition.column].combine_chunks())
        return mask


def check_columns(wanted: MetadataFilter, columns: Collection[str]) -> None:
    """Refuse a filter on what is not known of the targets.

    Raises:
        InputError: a column that is not among them; names those that are.
    """
    unknown = {condition.column for condition in wanted.conditions} - set(columns)
    if unknown:
        known = f"it has {', '.join(sorted(columns))}" if columns else "it has none"
        raise InputError(f"filter: the space has no metadata '{min(unknown)}'; {known}")


def value_text(value: Any) -> str:
    """A value as filters compare it: texts as they are, `true` and `false`, whole numbers without a point."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _meets(condition: Condition, column: pa.Array) -> TargetMask:
    targets = torch.arange(len(column))
    if _is_list(column.type):
        targets = torch.tensor(pc.list_parent_indices(column).to_numpy(zero_copy_only=False))
        values = pc.list_flatten(column)
    else:
        values = column
    mask = torch.zeros(len(column), dtype=torch.bool)
    if pa.types.is_nested(values.type):  # a table within a table: nothing to compare
        return mask
    # Most columns repeat few values: each is looked at once.
    encoded = values.dictionary_encode() if not pa.types.is_dictionary(values.type) else values
    wanted = [value is not None and condition.accepts(value_text(value)) for value in encoded.dictionary.to_pylist()]
    places = torch.tensor(encoded.indices.fill_null(len(wanted)).to_numpy(zero_copy_only=False), dtype=torch.int64)
    mask[targets[torch.tensor([*wanted, False])[places]]] = True
    return mask


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
