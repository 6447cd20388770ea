"""`uwe benchmark candidates`."""

from __future__ import annotations

from typing import Annotated

import typer

from training.benchmark_candidates import CandidatePlan, measure_candidates
from training.benchmarks.cli import Out, Task, Taxonomy, show_report, tell_line
from training.benchmarks.latency import Question
from training.benchmarks.processes import ended_by_sigterm
from training.evaluate import SAMPLE
from training.options import Data, Device, Home, Model
from uwe_core.home import default_home
from uwe_core.scoring.candidates import CandidateConfig, CandidateKind
from uwe_core.token_storage import SERVED_STORAGE, StorageType


def candidates_command(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    model: Model = "embedded",
    task: Task = "job2skill",
    taxonomy: Taxonomy = SAMPLE,
    data: Data = SAMPLE,
    texts: Annotated[int, typer.Option(min=10, help="Distinct texts to encode, composed of labels.")] = 100_000,
    filled: Annotated[int, typer.Option(min=0, help="Targets of a space filled up with copies; 0: none.")] = 1_000_000,
    queries: Annotated[int, typer.Option(min=1, help="Each asked once of both ways, in turn.")] = 200,
    count: Annotated[int, typer.Option(min=10, help="Candidates of a query.")] = 1000,
    kind: Annotated[CandidateKind, typer.Option(help="Of faiss' index.")] = "hnsw",
    dtype: Annotated[StorageType, typer.Option(help="Storage precision of token embeddings.")] = SERVED_STORAGE,
    device: Device = "auto",
    home: Home = default_home(),  # noqa: B008
    out: Out = None,
) -> None:
    """Candidates beside exact scoring: recall, time, memory. The token index of the texts is kept for the next run."""
    question = Question(task, taxonomy, data, home, device=device)
    plan = CandidatePlan(texts, filled, queries, CandidateConfig(count=count, kind=kind), dtype)
    with ended_by_sigterm():
        report = measure_candidates(question, model, plan, tell_line)
    show_report(report, out)
