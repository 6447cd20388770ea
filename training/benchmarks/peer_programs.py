"""The other ways to do the same as processes: what each is given, how it is asked, and what it says when it fails."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import torch
from transformers import PreTrainedTokenizerBase

import training
from training.benchmarks.closed_loop import Rounds, take_turns
from training.benchmarks.contestants import (
    Answer,
    Best,
    Contestant,
    HttpContestant,
    WorkerContestant,
    kept_open,
    running_worker,
)
from training.benchmarks.processes import HOST, free_port, running, wait_until_ready
from uwe_core.device import cpu_quota
from uwe_core.errors import InputError
from uwe_core.files import write_text
from uwe_core.interaction import inverse_norms
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.scoring.pooled import pooled_targets

_TOKENS = "tokens.pt"
_PACKAGE = "training.benchmarks.peers"
_MAX_SIM = "MaxSim, another function; "
_POOLED = "pooled cosine, another function; "
# What programs that give the same answers compute, and in how many directions.
_WAYS = {"soft_late_interaction": 1, "two_way_late_interaction": 2}
_THREAD_TRIAL = Rounds(rounds=2, queries=10, warm_up=5, seconds=30)


@dataclass(frozen=True)
class Peer:
    """One other way to do the same.

    Attributes:
        name: in tables, and with `--peer`.
        module: of `training.benchmarks.peers`; None for a program of the environment itself.
        environment: the folder of its virtual environment; None runs in this one.
        is_service: over HTTP, else a worker that answers lines.
        same_answers: whether it computes the same function, so that its answers must be the same.
        note: what a reader must know.
        path: of the route.
    """

    name: str
    module: str | None
    environment: str | None
    is_service: bool
    same_answers: bool
    note: str
    path: str = "/rank"


PEERS = (
    Peer("obvious", "obvious", None, True, True, "the obvious service, HTTP"),
    Peer("faiss", "pooled_faiss", "faiss-cpu", False, False, _POOLED + "IndexFlatIP, a function call"),
    Peer("faiss-service", "pooled_faiss", "faiss-cpu", True, False, _POOLED + "IndexFlatIP behind FastAPI, HTTP"),
    Peer("maxsim-cpu", "maxsim_cpu_peer", "maxsim-cpu", False, False, _MAX_SIM + "a function call"),
    Peer("pylate", "pylate_peer", "pylate", False, False, _MAX_SIM + "colbert_scores, a function call"),
    Peer("litserve", "litserve_peer", "litserve", True, True, "the obvious ranker behind LitServe, HTTP", "/predict"),
    Peer(
        "infinity", None, "infinity-emb", True, False,
        _POOLED + "the server embeds the query, the product with all targets is this process's, HTTP", "/embeddings",
    ),
)  # fmt: skip

# Those that answer requests by themselves, so that many callers may ask them.
LOADABLE = tuple(peer.name for peer in PEERS if peer.is_service and peer.module is not None)


@dataclass(frozen=True)
class PeerInputs:
    """What all of them are given, the large things as files.

    Attributes:
        folder: for weights as transformers reads them, targets, caches and logs.
        environments: folder of virtual environments that `make bench-peers` made.
        ranker: whose model and targets they get, in float32.
        task: of the ranker.
    """

    folder: Path
    environments: Path
    ranker: Ranker
    task: str
    top_k: int

    def write(self) -> None:
        """Write the weights, the targets, and their token embeddings, which nobody then encodes anew.

        Raises:
            InputError: a task or model that the peers cannot do.
        """
        interaction = self.ranker.model.interaction
        if self.ranker.task(self.task).exclude_query or interaction.kind not in _WAYS:
            raise InputError("others are compared on tasks that leave no target out, by late interaction")
        self.ranker.model.save_pretrained(self.folder / "model")
        _name_for_older_versions(self.folder / "model/tokenizer_config.json", self.ranker.model.encoder.tokenizer)
        space, index = self.rankable.space, self.rankable.index
        bounds = zip(index.order.tolist(), pairwise(index.offsets.tolist()), strict=True)
        tokens = {place: index.embeddings[start:end].clone() for place, (start, end) in bounds}
        torch.save([tokens[place] for place in range(len(space))], self.folder / _TOKENS)
        targets = [{"id": key, "text": text} for key, text in zip(space.ids, space.texts, strict=True)]
        write_text(self.folder / "targets.json", json.dumps(targets))

    @property
    def rankable(self) -> RankableSpace:
        """The targets and their token embeddings."""
        return self.ranker.spaces[self.ranker.task(self.task).target_space]

    def arguments(self, threads: int) -> list[str]:
        """Of every program."""
        interaction = self.ranker.model.interaction
        return [
            "--folder", str(self.folder / "model"), "--targets", str(self.folder / "targets.json"),
            "--temperature", str(interaction.interaction_temperature), "--ways", str(_WAYS[interaction.kind]),
            "--cache", str(self.folder / _TOKENS), "--threads", str(threads),
        ]  # fmt: skip

    def program(self, peer: Peer, name: str) -> Path:
        """A program of the peer's environment."""
        if peer.environment is None:
            return Path(sys.executable).with_name(name)
        return self.environments.absolute() / peer.environment / "bin" / name


def start_peer(peer: Peer, inputs: PeerInputs, threads: int, stack: ExitStack) -> Contestant:
    """Run it until the stack is closed.

    Raises:
        ConfigurationError: it is not installed, or does not start; says why in its own words.
    """
    name = f"{peer.name}, {threads} threads"
    log = inputs.folder / f"{peer.name}-{threads}.log"
    variables = {
        # its own environment has no packages of ours; the programs are found from where they lie
        "PYTHONPATH": str(Path(training.__file__).parents[1]),
        "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads),
    }  # fmt: skip
    if peer.module is None:
        return _start_infinity(peer, name, inputs, variables, log, stack)
    command: list[str | Path] = [
        inputs.program(peer, "python"), "-m", f"{_PACKAGE}.{peer.module}", *inputs.arguments(threads),
    ]  # fmt: skip
    if not peer.is_service:
        command += ["--top-k", str(inputs.top_k)]
        return WorkerContestant(name, stack.enter_context(running_worker(command, log, variables)), peer.note)
    port = free_port()
    server = stack.enter_context(running([*command, "--port", str(port)], log, variables))
    wait_until_ready(server, f"http://{HOST}:{port}/docs")
    client = stack.enter_context(kept_open(f"http://{HOST}:{port}"))
    return HttpContestant(
        name, client, peer.path, lambda query: {"query": query, "top_k": inputs.top_k}, _best_of_targets, peer.note
    )


def thread_numbers() -> list[int]:
    """Powers of two up to the processor quota, and the quota."""
    quota = cpu_quota()
    return sorted({quota, *(1 << power for power in range(quota.bit_length()) if 1 << power <= quota)})


def start_fastest(
    peer: Peer, inputs: PeerInputs, texts: Sequence[str], stack: ExitStack
) -> tuple[Contestant, dict[int, float]]:
    """The peer with the number of threads with which it answers fastest, running until the stack is closed.

    All numbers run side by side and take turns; the others are ended.

    Returns:
        The contestant, and the median milliseconds of each number that was tried.

    Raises:
        ConfigurationError: it does not start.
    """
    numbers = thread_numbers()
    with ExitStack() as trial:
        stacks = [trial.enter_context(ExitStack()) for _ in numbers]
        contestants = [start_peer(peer, inputs, *started) for started in zip(numbers, stacks, strict=True)]
        trial_texts = [texts[place % len(texts)] for place in range(_THREAD_TRIAL.texts)]
        measured = take_turns(contestants, trial_texts, _THREAD_TRIAL)
        medians = [one.summary.p50 for one in measured]
        fastest = medians.index(min(medians))
        stack.push(stacks[fastest].pop_all())
    return contestants[fastest], dict(zip(numbers, medians, strict=True))


def _name_for_older_versions(path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Name the tokenizer's class as transformers 4 knows it too, and what the model takes, which goes by the class."""
    config = json.loads(path.read_text())
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": tokenizer.model_input_names}
    write_text(path, json.dumps(config, indent=1))


def _best_of_targets(answer: Any) -> Best:
    return [(target["id"], target["score"]) for target in answer["targets"]]


def _start_infinity(
    peer: Peer, name: str, inputs: PeerInputs, variables: dict[str, str], log: Path, stack: ExitStack
) -> Contestant:
    port = free_port()
    model = str(inputs.folder / "model")
    command: list[str | Path] = [
        inputs.program(peer, "infinity_emb"), "v2", "--model-id", model, "--engine", "torch", "--device", "cpu",
        "--host", HOST, "--port", str(port), "--no-bettertransformer", "--log-level", "warning",
    ]  # fmt: skip
    server = stack.enter_context(running(command, log, variables))
    wait_until_ready(server, f"http://{HOST}:{port}/health")
    client = stack.enter_context(kept_open(f"http://{HOST}:{port}"))
    return EmbeddingServer(name, client, peer.path, inputs, peer.note)


class EmbeddingServer:
    """A server that gives the embedding of a text; what it lacks to a ranking is done here, and timed with it."""

    def __init__(self, name: str, client: httpx.Client, path: str, inputs: PeerInputs, note: str) -> None:
        self.name = name
        self.note = note
        self._client = client
        self._path = path
        self._top_k = inputs.top_k
        self._ids = inputs.rankable.space.ids
        pooled = pooled_targets(inputs.rankable.index)
        self._units = pooled * inverse_norms(pooled)[:, None]

    def ask(self, query: str) -> Answer:
        """Embed, compare with all targets, choose the best."""
        start = time.perf_counter()
        response = self._client.post(self._path, json={"model": "model", "input": [query]}).raise_for_status()
        embedding = torch.tensor(response.json()["data"][0]["embedding"])
        best = (self._units @ embedding).topk(min(self._top_k, len(self._ids)))
        seconds = time.perf_counter() - start
        ids = [self._ids[place] for place in best.indices.tolist()]
        return Answer(seconds, list(zip(ids, best.values.tolist(), strict=True)))
