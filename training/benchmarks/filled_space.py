"""A target space of any size, made from a real one: the question is time and memory, not which target is best."""

from __future__ import annotations

import torch

from uwe_core.interaction import inverse_norms
from uwe_core.target_space import TargetSpace
from uwe_core.token_index import TokenIndex
from uwe_core.token_storage import read_back, stored

# Of the norm of a token embedding: copies are not bit-equal, and lie where real targets lie.
_DISTURBANCE = 0.1
_ROWS_AT_A_TIME = 1 << 16
# Text, id, and the entries of the lists that hold them, roughly.
_BYTES_PER_TARGET = 400


def bytes_needed(index: TokenIndex, size: int) -> int:
    """About how much memory a filled space of that size takes, its index and its texts."""
    tokens = index.manifest.tokens * size / len(index)
    return int(tokens * (index.manifest.dim * index.embeddings.element_size() + 12) + size * _BYTES_PER_TARGET)


def filled_space(space: TargetSpace, index: TokenIndex, size: int, seed: int = 0) -> tuple[TargetSpace, TokenIndex]:
    """`size` targets with the lengths that those of `space` have.

    A smaller space is every so manyth target; in a larger one each stands several times, the first as it is, the
    others with their number behind the text and every token embedding disturbed.

    Args:
        space: of the index.
        index: of the space.
        size: above 0.
        seed: of the disturbance.
    """
    # Targets stand in stored order, by number of tokens, so that copies of a target stand side by side.
    places = torch.arange(size) * len(index) // size
    is_copy = torch.cat([torch.tensor([False]), places[1:] == places[:-1]])
    counts = index.offsets.diff()[places]
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    embeddings = torch.empty(int(offsets[-1]), index.manifest.dim, dtype=index.embeddings.dtype)
    scales = None if index.scales is None else torch.empty(len(embeddings))
    norms = torch.empty(len(embeddings))
    starts = index.offsets[places]
    generator = torch.Generator().manual_seed(seed)
    target_of_row = torch.repeat_interleave(torch.arange(size), counts)
    for first in range(0, len(embeddings), _ROWS_AT_A_TIME):
        targets = target_of_row[first : first + _ROWS_AT_A_TIME]
        within = torch.arange(first, first + len(targets)) - offsets[targets]
        taken = starts[targets] + within
        rows = read_back(index.embeddings[taken], None if index.scales is None else index.scales[taken])
        noise = torch.randn(rows.shape, generator=generator) / rows.shape[1] ** 0.5
        rows += _DISTURBANCE * rows.norm(dim=1, keepdim=True) * noise * is_copy[targets][:, None]
        part = slice(first, first + len(targets))
        embeddings[part], part_scales = stored(rows, index.manifest.dtype)
        norms[part] = inverse_norms(read_back(embeddings[part], part_scales))
        if scales is not None and part_scales is not None:
            scales[part] = part_scales
    texts = [space.texts[place] for place in index.order[places].tolist()]
    texts = [
        f"{text} {number}" if copy else text for number, (text, copy) in enumerate(zip(texts, is_copy, strict=True))
    ]
    filled = TargetSpace(space.info, [str(number) for number in range(size)], texts)
    manifest = index.manifest.model_copy(
        update={"space_fingerprint": filled.fingerprint, "targets": size, "tokens": len(embeddings), "checksums": {}}
    )
    return filled, TokenIndex(manifest, embeddings, norms, offsets, torch.arange(size), scales)
