"""How these programs are run: as a service on a port, or, without one, answering lines on standard input."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
import uvicorn

from training.benchmarks.peers.obvious import ObviousRanker, make_app


class PeerRanker(Protocol):
    """What all of them can do."""

    def rank(self, query: str, top_k: int) -> list[tuple[int, float]]:
        """The best targets by their place, and their scores."""
        ...


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """`--folder --targets --temperature --ways --cache --threads --top-k`, and `--port` for a service."""
    parser = argparse.ArgumentParser()
    kinds = {"folder": str, "targets": Path, "temperature": float, "ways": int, "cache": Path, "threads": int}
    for name, kind in kinds.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--top-k", type=int, default=10)
    parser.add_argument("--port", type=int)
    options = parser.parse_args(arguments)
    options.targets = json.loads(options.targets.read_text())
    return options


def encoder_of(options: argparse.Namespace) -> ObviousRanker:
    """The obvious ranker, for its encoder and the token embeddings it has cached."""
    texts = [target["text"] for target in options.targets]
    return ObviousRanker(options.folder, texts, options.temperature, options.ways, options.cache)


def main(make: Callable[[argparse.Namespace], PeerRanker]) -> None:
    """Build the ranker and answer until the end of input, or of the process."""
    options = options_of()
    torch.set_num_threads(options.threads)
    if options.port:
        uvicorn.run(make_app(make(options), options.targets), port=options.port, log_level="warning")
        return
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever libraries print is no answer
        answer_lines(make(options), options, sys.stdin, answers)


def answer_lines(ranker: PeerRanker, options: argparse.Namespace, lines: Any, answers: Any) -> None:
    """One line for readiness, then one for each query, timed around the ranking alone."""
    _write(answers, {"ready": True})
    for line in lines:
        query = json.loads(line)
        start = time.perf_counter()
        best = ranker.rank(query, options.top_k)
        seconds = time.perf_counter() - start
        _write(answers, {"seconds": seconds, "best": [(options.targets[place]["id"], score) for place, score in best]})


def _write(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
