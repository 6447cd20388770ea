"""Generate: job titles, alternatives and sentences for each skill, and a side file of what is missing and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.pipeline.generation import generated_texts
from training.pipeline.generation.generated_texts import (
    DescribedSkill,
    Generated,
    GeneratedText,
    Progress,
    TextSource,
    Unfinished,
)
from training.pipeline.stage import StageManifest, code_of, run_stage, stage_fingerprint

TEXTS_FILE = "texts.parquet"
UNFINISHED_FILE = "unfinished.parquet"

TEXTS_SCHEMA = pa.schema(
    [("skill_uri", pa.string()), ("kind", pa.string()), ("position", pa.int64()), ("text", pa.string())]
)
UNFINISHED_SCHEMA = pa.schema(
    [("skill_uri", pa.string()), ("kind", pa.string()), ("reason", pa.string()), ("given", pa.int64())]
)


def generate(
    skills: Sequence[DescribedSkill], folder: Path, source: TextSource, progress: Progress
) -> tuple[StageManifest, bool]:
    """Write the texts of `skills` into `folder`; a finished stage is reused.

    Args:
        skills: of a taxonomy, in the order that the texts are to have.
        folder: of the stage.
        source: a file of texts, or a language model.
        progress: told skills done and their total.

    Returns:
        The manifest and whether it was reused. Its counts follow from the texts and answers alone, so that they are
        the same however often the run was interrupted.

    Raises:
        DataError: from a file, with the line.
        UweError: from a language model, see `Endpoint.texts_of`.
    """
    digest = hashlib.sha256(json.dumps([astuple(skill) for skill in skills]).encode()).hexdigest()
    fingerprint = stage_fingerprint(
        "generated", code_of(__name__, generated_texts), {"skills": digest, "source": source.facts()}
    )
    return run_stage(folder, "generated", fingerprint, lambda aside: _write(skills, source, progress, aside))


def _write(skills: Sequence[DescribedSkill], source: TextSource, progress: Progress, folder: Path) -> Counter[str]:
    generated = source.texts_of(skills, progress)
    pq.write_table(_table(generated.texts, TEXTS_SCHEMA), folder / TEXTS_FILE)
    pq.write_table(_table(generated.unfinished, UNFINISHED_SCHEMA), folder / UNFINISHED_FILE)
    return _counts(skills, generated)


def _table(records: Sequence[GeneratedText] | Sequence[Unfinished], schema: pa.Schema) -> pa.Table:
    return pa.table({name: [getattr(record, name) for record in records] for name in schema.names}, schema=schema)


def _counts(skills: Sequence[DescribedSkill], generated: Generated) -> Counter[str]:
    counts = Counter({"skills": len(skills)}) + generated.counts
    counts["unfinished skills"] = len({row.skill_uri for row in generated.unfinished})
    counts.update(f"texts: {text.kind}" for text in generated.texts)
    counts.update(f"unfinished {row.kind}: {row.reason}" for row in generated.unfinished)
    return counts
