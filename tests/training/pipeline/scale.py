"""Many vacancies through ingest, documents, aggregate and enrich in this process: `python -m ... COUNT FOLDER`.

Prints seconds per stage and the peak memory as JSON. Predictions are drawn by chance and a tiny encoder stands for a
real one: what is measured is the pipeline, not a model.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tests.fakes import save_tiny_model
from training.pipeline import aggregate, documents, enrich, matching, vectors
from training.pipeline.config import AggregateConfig
from training.pipeline.extract import PREDICTIONS_FILE, PREDICTIONS_SCHEMA
from training.pipeline.ingest import ingest
from training.pipeline.parts import LocalRunner, run_parts
from training.pipeline.stage import StageManifest

WORDS = ["care", "nurse", "weld", "metal", "bake", "people", "for"]
SKILLS = 13_939
GENERATED_TITLES = 20_000


def write_vacancies(count: int, path: Path) -> None:
    """Titles repeat about twice, in several cases; descriptions hold ten sentences."""
    chance = np.random.default_rng(0)
    sentence = "You will do what the team needs on every day of the week. "
    with path.open("w") as file:
        for number in range(count):
            title = f"{WORDS[number % 7]} {WORDS[number // 7 % 7]} {chance.integers(count // 2)}"
            title = title.upper() if number % 3 == 0 else title
            file.write(json.dumps({"title": title, "description": sentence * 10}) + "\n")


def write_predictions(count: int, folder: Path) -> None:
    """Fifteen skills of each document, a part at a time."""
    chance = np.random.default_rng(1)
    folder.mkdir()
    with pq.ParquetWriter(folder / PREDICTIONS_FILE, PREDICTIONS_SCHEMA) as writer:
        for first in range(0, count, 1000):
            numbers = np.arange(first, min(first + 1000, count))
            skills = np.concatenate([np.sort(chance.choice(SKILLS, 15, replace=False)) for _ in numbers])
            columns = [
                np.repeat(numbers, 15), skills.astype(np.int32),
                chance.random(len(skills)).round(4).astype(np.float32), np.zeros(len(skills), np.int32),
            ]  # fmt: skip
            writer.write_table(pa.Table.from_arrays([pa.array(column) for column in columns], PREDICTIONS_SCHEMA.names))


def encode_and_match(folder: Path) -> None:
    """The real titles against generated ones."""
    model = str(save_tiny_model("bert", folder / "model"))
    titles = pl.read_parquet(folder / "jobs" / aggregate.JOBS_FILE)["title"].to_list()
    generated = [f"{WORDS[n % 7]} {WORDS[n // 7 % 7]} {WORDS[n // 49 % 7]} {n}" for n in range(GENERATED_TITLES)]
    for name, texts in (("real", titles), ("generated", generated)):
        vectors.write_texts(texts, folder / f"{name}.parquet", 4096)
        part = vectors.EncodePart(folder / f"{name}.parquet", model, "cpu")
        parts = run_parts(folder / f"{name} parts", part.sizes, part.factory(), LocalRunner(), lambda *_: None)
        vectors.join_vectors(parts, folder / f"{name}.npy")
    match = matching.MatchPart(folder / "generated.npy", folder / "real.npy", 0.999, 4096, "cpu")
    parts = run_parts(folder / "matches", match.sizes, match.factory(), LocalRunner(), lambda *_: None)
    enrich.read_matches(parts)


def _documents(folder: Path) -> StageManifest | None:
    (folder / "documents").mkdir()
    found = documents.vacancy_documents(folder / "vacancies", "en")
    documents.write_documents(found, folder / "documents", 1024)
    return None


def _aggregate(folder: Path) -> None:
    (folder / "jobs").mkdir()
    aggregate.aggregate(folder / "documents", folder / "predictions", folder / "jobs", AggregateConfig(), 0)


def main(count: int, folder: Path) -> None:
    """Run all stages."""
    torch.set_num_threads(2)
    folder.mkdir(parents=True)
    write_vacancies(count, folder / "vacancies.jsonl")
    write_predictions(count, folder / "predictions")
    stages: dict[str, Callable[[], object]] = {
        "ingest": partial(ingest, [str(folder / "vacancies.jsonl")], folder / "vacancies"),
        "documents": partial(_documents, folder),
        "aggregate": partial(_aggregate, folder),
        "enrich": partial(encode_and_match, folder),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures: dict[str, float] = {"before_mb": round(before)}
    for name, work in stages.items():
        start = time.perf_counter()
        work()
        figures[f"{name}_s"] = round(time.perf_counter() - start, 2)
        figures[f"peak_mb_after_{name}"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
