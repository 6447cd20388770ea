"""The obvious service: late interaction as one writes it with transformers and FastAPI, and with care."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModel, AutoTokenizer


class Query(BaseModel):
    """The body of a request."""

    query: str
    top_k: int = 10


class ObviousRanker:
    """Encodes a query and scores it against all targets at once."""

    def __init__(self, folder: str, texts: list[str], temperature: float, ways: int, cache: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder).eval()
        self.temperature, self.ways = temperature, ways
        if not cache.exists():
            batches = [self.encode(texts[start : start + 64]) for start in range(0, len(texts), 64)]
            torch.save([tokens for batch in batches for tokens in batch], cache)
        encoded = torch.load(cache)
        self.padded = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)
        self.lengths = torch.tensor([len(text) for text in encoded])
        self.is_padding = torch.arange(self.padded.shape[1]) >= self.lengths[:, None]
        self.norms = self.padded.norm(dim=-1).clamp_min(1e-12)

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> list[torch.Tensor]:
        """The token embeddings of each text."""
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
        hidden = self.model(**batch).last_hidden_state
        return [tokens[mask.bool()] for tokens, mask in zip(hidden, batch["attention_mask"], strict=True)]

    @torch.inference_mode()
    def rank(self, query: str, top_k: int) -> list[tuple[int, float]]:
        """The best targets and their scores."""
        tokens = self.encode([query])[0]
        dots = (tokens @ self.padded.flatten(0, 1).T).unflatten(1, self.norms.shape)
        logits = dots / self.temperature
        weights = logits.masked_fill(self.is_padding, -torch.inf).softmax(dim=-1)
        if self.ways == 2:
            asked = logits.softmax(dim=0).masked_fill(self.is_padding, 0.0) / self.lengths[:, None]
            weights = (weights + len(tokens) * asked) / 2
        cosines = dots / self.norms / tokens.norm(dim=-1)[:, None, None]
        best = (weights * cosines).sum(dim=(0, 2)).topk(min(top_k, len(self.padded)))
        return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


def make_app(ranker: Any, targets: list[dict[str, str]]) -> FastAPI:
    """The service."""
    app = FastAPI()

    @app.post("/rank")
    def rank(query: Query) -> dict[str, Any]:
        best = ranker.rank(query.query, query.top_k)
        return {"targets": [{**targets[place], "score": score} for place, score in best]}

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    kinds = {"folder": str, "targets": Path, "temperature": float, "ways": int, "cache": Path, "threads": int}
    for name, kind in kinds.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--port", type=int, default=8001)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    targets = json.loads(given.targets.read_text())
    texts = [target["text"] for target in targets]
    obvious = ObviousRanker(given.folder, texts, given.temperature, given.ways, given.cache)
    uvicorn.run(make_app(obvious, targets), port=given.port, log_level="warning")
