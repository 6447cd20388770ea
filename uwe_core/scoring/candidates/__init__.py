"""Candidates of a large space: faiss proposes targets by their mean tokens, the exact scorer scores those alone."""

from uwe_core.scoring.candidates.candidate_index import (
    CandidateIndex,
    candidate_fingerprint,
    candidate_folder,
    load_faiss,
    open_or_build_candidates,
)
from uwe_core.scoring.candidates.candidate_scorer import CandidateScorer
from uwe_core.scoring.candidates.candidate_scores import CandidateScores
from uwe_core.scoring.candidates.config import CandidateConfig, CandidateKind

__all__ = [
    "CandidateConfig",
    "CandidateIndex",
    "CandidateKind",
    "CandidateScorer",
    "CandidateScores",
    "candidate_fingerprint",
    "candidate_folder",
    "load_faiss",
    "open_or_build_candidates",
]
