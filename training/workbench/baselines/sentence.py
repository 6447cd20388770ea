"""Other people's sentence encoders, as the sentence-transformers library loads them, each asked in the way it wants.

Some models have two branches (JobBERT-v2), some want an instruction before the query (Qwen3-Embedding, E5-mistral),
some a fixed prefix on either side (EmbeddingGemma). Pooling is the model's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from uwe_core.errors import MissingModelError
from uwe_core.types import Scores

TextKind = Literal["job", "skill", "sentence"]

# What a query and a target are, by task.
KINDS: Mapping[str, tuple[TextKind, TextKind]] = {
    "job2skill": ("job", "skill"),
    "skill2job": ("skill", "job"),
    "skillnorm": ("skill", "skill"),
    "skillextract": ("sentence", "skill"),
    "skillsim": ("skill", "skill"),
    "jobnorm": ("job", "job"),
}
INSTRUCTIONS: Mapping[str, str] = {
    "job2skill": "Given a job title, retrieve the skills that the job needs",
    "skill2job": "Given a skill, retrieve the job titles that need it",
    "skillnorm": "Given an alternative name of a skill, retrieve the skill it means",
    "skillextract": "Given a sentence of a job advertisement, retrieve the skills it asks for",
    "skillsim": "Given a skill, retrieve similar skills",
    "jobnorm": "Given a job title, retrieve the standard job title it means",
}
_OTHER_INSTRUCTION = "Given a text, retrieve the texts that belong to it"


@dataclass(frozen=True)
class Manner:
    """How a family of models wants to be asked.

    Attributes:
        query_prompt: put before queries; `{instruction}` stands for the task's.
        target_prompt: put before targets.
        branches: the model's branch by kind of text.
    """

    query_prompt: str = ""
    target_prompt: str = ""
    branches: Mapping[TextKind, str] = field(default_factory=dict)


# By how the name of the model or its folder begins, in lower case.
MANNERS: Mapping[str, Manner] = {
    "jobbert-v2": Manner(branches={"job": "anchor", "skill": "positive", "sentence": "positive"}),
    "qwen3-embedding": Manner(query_prompt="Instruct: {instruction}\nQuery:"),
    "e5-mistral": Manner(query_prompt="Instruct: {instruction}\nQuery: "),
    "embeddinggemma": Manner(query_prompt="task: search result | query: ", target_prompt="title: none | text: "),
}


def manner_of(name: str) -> Manner:
    """How the model of that name or folder wants to be asked; plainly, where nothing is known of it."""
    last = Path(name).name.lower()
    return next((manner for beginning, manner in MANNERS.items() if last.startswith(beginning)), Manner())


class SentenceRanking:
    """Cosine of sentence embeddings.

    Args:
        name: of a hub model or a folder.
        device: as `uwe_core.device.resolve_device` gives it.

    Raises:
        MissingModelError: sentence-transformers is not installed, or cannot load the model.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        try:
            from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise MissingModelError("sentence encoders need the extra [baselines]") from error
        try:
            self._model: Any = SentenceTransformer(name, device=str(device), trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise MissingModelError(f"sentence-transformers cannot load '{name}': {error}") from error
        self.name = Path(name).name
        self._manner = manner_of(name)
        self.fingerprint = self._fingerprint()
        self.seen_spaces: frozenset[str] | None = None
        self._targets: tuple[Sequence[str], str, torch.Tensor] | None = None

    def scores(self, queries: Sequence[str], targets: Sequence[str], task: str) -> Scores:
        """Cosines; the targets' embeddings are kept."""
        query_kind, target_kind = KINDS.get(task, ("sentence", "sentence"))
        if self._targets is None or self._targets[0] is not targets or self._targets[1] != task:
            embedded = self._encode(targets, self._manner.target_prompt, target_kind)
            self._targets = (targets, task, embedded)
        prompt = self._manner.query_prompt.format(instruction=INSTRUCTIONS.get(task, _OTHER_INSTRUCTION))
        return self._encode(queries, prompt, query_kind) @ self._targets[2].T

    def _encode(self, texts: Sequence[str], prompt: str, kind: TextKind) -> torch.Tensor:
        # The branch is named at each call: without it a model with branches silently takes its first one.
        branch = {"task": self._manner.branches[kind]} if kind in self._manner.branches else {}
        embedded: torch.Tensor = self._model.encode(
            list(texts), prompt=prompt or None, convert_to_tensor=True, normalize_embeddings=True,
            show_progress_bar=False, **branch,
        )  # fmt: skip
        return embedded.float()

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr(self._manner).encode())
        for key, tensor in sorted(self._model.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
