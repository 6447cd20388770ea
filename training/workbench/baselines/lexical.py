"""Baselines that compare letters and words: BM25, TF-IDF, edit distance."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import bm25s
import numpy as np
import torch
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein
from sklearn.feature_extraction.text import TfidfVectorizer

from uwe_core.types import Scores

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it lowers its own logger to DEBUG when imported
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Lower-case words; no stemming, no stop words."""
    return _WORD.findall(text.lower())


class Bm25Ranking:
    """Okapi BM25 with the usual k1 = 1.5 and b = 0.75."""

    name = "bm25"
    fingerprint = "bm25-1"
    seen_spaces: frozenset[str] | None = frozenset()

    def __init__(self) -> None:
        self._targets: Sequence[str] | None = None
        self._retriever = bm25s.BM25(k1=1.5, b=0.75, method="lucene")

    def scores(self, queries: Sequence[str], targets: Sequence[str], task: str) -> Scores:  # noqa: ARG002
        """Scores of targets that share no word with the query are 0."""
        if self._targets is not targets:
            self._retriever = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
            self._retriever.index([words(target) for target in targets], show_progress=False)
            self._targets = targets
        rows = [self._row(words(query), len(targets)) for query in queries]
        return torch.from_numpy(np.stack(rows).astype(np.float32))

    def _row(self, query: list[str], targets: int) -> np.ndarray:
        known = [word for word in query if word in self._retriever.vocab_dict]
        return self._retriever.get_scores(known) if known else np.zeros(targets)


class TfIdfRanking:
    """Cosine of TF-IDF vectors over words; the vocabulary and weights are the targets'."""

    name = "tf-idf"
    fingerprint = "tf-idf-1"
    seen_spaces: frozenset[str] | None = frozenset()

    def __init__(self) -> None:
        self._targets: Sequence[str] | None = None

    def scores(self, queries: Sequence[str], targets: Sequence[str], task: str) -> Scores:  # noqa: ARG002
        """Scores of targets that share no word with the query are 0."""
        if self._targets is not targets:
            self._vectorizer = TfidfVectorizer(analyzer=words, dtype=np.float32)
            self._vectors = self._vectorizer.fit_transform(targets)
            self._targets = targets
        products = self._vectorizer.transform(queries) @ self._vectors.T
        return torch.from_numpy(products.toarray())


class EditDistanceRanking:
    """Levenshtein similarity, normalised by the longer text, case ignored."""

    name = "edit-distance"
    fingerprint = "edit-distance-1"
    seen_spaces: frozenset[str] | None = frozenset()

    def scores(self, queries: Sequence[str], targets: Sequence[str], task: str) -> Scores:  # noqa: ARG002
        """1 for equal texts, 0 for nothing in common."""
        lowered = [[text.lower() for text in texts] for texts in (queries, targets)]
        similarities = process.cdist(*lowered, scorer=Levenshtein.normalized_similarity, dtype=np.float32, workers=-1)
        return torch.from_numpy(similarities)
