"""Embeddings as JSON, written from arrays as they stand: a list of Python's floats would be ten times as large."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import orjson
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from service.batching import EmbeddedTexts
from service.engine import RankingEngine
from service.schemas.embed import EncodingFormat
from uwe_core.interaction import inverse_norms
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_span import TokenSpan

_TAIL = b"]}"
_Vectors: TypeAlias = NDArray[np.float32]


@torch.inference_mode()
def mean_tokens(embedded: EmbeddedTexts, *, normalise: bool) -> _Vectors:
    """`[texts, dim]`: the mean of the tokens of each text, scaled to length 1 where asked for."""
    return _array(TokenEmbeddings.from_texts(embedded.tokens).means(), normalise=normalise)


def head(engine: RankingEngine, dimension: int, *, normalised: bool) -> bytes:
    """The JSON before the results."""
    model = engine.description
    facts = {
        "model": {"name": model.model_name, "fingerprint": model.model_fingerprint},
        "dimension": dimension,
        "normalised": normalised,
        "results": [],
    }
    return orjson.dumps(facts).removesuffix(_TAIL)


def mean_parts(
    start: bytes, texts: Sequence[str], embedded: EmbeddedTexts, encoding: EncodingFormat, *, normalise: bool
) -> list[bytes]:
    """A response in parts with one vector for each text."""
    truncated = _truncated(embedded)
    vectors = mean_tokens(embedded, normalise=normalise)
    results = [
        {"text": text, "embedding": _written(vector, encoding), "tokens": None, "token_embeddings": None}
        | {"truncated": truncated.get(position)}
        for position, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    return _parts(start, results, _TAIL)


@torch.inference_mode()
def token_parts(
    start: bytes,
    texts: Sequence[str],
    embedded: EmbeddedTexts,
    spans: Sequence[list[TokenSpan]],
    encoding: EncodingFormat,
    *,
    normalise: bool,
) -> list[bytes]:
    """A response in parts with a vector for each token of each text."""
    truncated = _truncated(embedded)
    results = [
        {"text": text, "embedding": None, "tokens": of_text}
        | {"token_embeddings": _written(_array(tokens, normalise=normalise), encoding)}
        | {"truncated": truncated.get(position)}
        for position, (text, of_text, tokens) in enumerate(zip(texts, spans, embedded.tokens, strict=True))
    ]
    return _parts(start, results, _TAIL)


def bare_parts(embedded: EmbeddedTexts, *, normalise: bool) -> list[bytes]:
    """Vectors and nothing else, in parts."""
    return _parts(b"[", list(mean_tokens(embedded, normalise=normalise)), b"]")


def _array(vectors: Float[Tensor, "vectors dim"], *, normalise: bool) -> _Vectors:
    if normalise:
        vectors = vectors * inverse_norms(vectors)[:, None]
    # A copy that is whole and of one piece, as orjson wants it; of half precision no encoder gives anything.
    array: _Vectors = vectors.cpu().contiguous().numpy()
    return array


def _written(vectors: _Vectors, encoding: EncodingFormat) -> _Vectors | str:
    if encoding == "float":
        return vectors
    return base64.b64encode(vectors.astype("<f4", copy=False).tobytes()).decode("ascii")


def _truncated(embedded: EmbeddedTexts) -> dict[int, dict[str, int]]:
    return {cut.position: {"tokens": cut.tokens, "kept_tokens": cut.kept_tokens} for cut in embedded.truncations}


def _parts(start: bytes, results: Sequence[Any], end: bytes) -> list[bytes]:
    parts = [start]
    for result in results:
        parts += [orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY), b","]
    parts[-1] = end  # in place of the last comma; a request has at least one text
    return parts
