"""A small build that has everything: vacancies, a cut of an occupational database, annotated sentences, texts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from training.build_graphs import graph_build
from training.pipeline.config import (
    AggregateConfig,
    BuildConfig,
    DocumentsConfig,
    EnrichConfig,
    ExtractConfig,
    SharpenConfig,
)
from training.pipeline.inputs import RawSources
from training.pipeline.parts import LocalRunner, Runner
from training.pipeline.stage import StageManifest
from training.pipeline.workspace import Workspace
from uwe_core.sample import sample_skills

CONFIG = BuildConfig(
    documents=DocumentsConfig(sentences_per_part=16, limit_skills=60, technologies=True),
    extract=ExtractConfig(threshold=0.35),
    aggregate=AggregateConfig(validation_share=0.3),
    enrich=EnrichConfig(threshold=0.6, texts_per_part=16),
    sharpen=SharpenConfig(skills_per_title=3, composed_lines=30, activity_graph=True),
)


def write_sources(root: Path) -> RawSources:
    """Raw files in every form that the pipeline reads, about the skills of the sample taxonomy."""
    root.mkdir(parents=True, exist_ok=True)
    skills = sample_skills()
    facts = skills.metadata_of(range(len(skills)))
    with (root / "vacancies.jsonl").open("w") as file:
        for number in range(40):
            tasks = [facts[(number * 7 + step) % len(skills)]["description"] for step in range(3)]
            row = {"title": f"{'Senior ' * (number % 2)}worker of trade {number // 2}", "description": "\n".join(tasks)}
            file.write(json.dumps(row) + "\n")
    with (root / "texts.tsv").open("w") as file:
        file.write("conceptUri\tpreferredLabel\tjob_titles\tparaphrases\tsentences\n")
        for identifier, label in zip(skills.ids, skills.texts, strict=True):
            titles = f"Expert who can {label}|worker of trade {len(label) % 9}"
            file.write(f"{identifier}\t{label}\t{titles}\tbeing able to {label}\tEvery day you {label}.\n")
    _write_onet(root / "onet", [fact["description"] for fact in facts])
    _write_skillskape(root / "skillskape", list(skills.texts))
    return RawSources((str(root / "vacancies.jsonl"),), onet=root / "onet", skillskape=root / "skillskape",
                      texts=root / "texts.tsv")  # fmt: skip


def _write_onet(folder: Path, tasks: list[str]) -> None:
    folder.mkdir()
    tables: dict[str, list[list[str]]] = {
        "Occupation Data.tsv": [["O*NET-SOC Code", "Title", "Description"]],
        "Alternate Titles.tsv": [["O*NET-SOC Code", "Alternate Title"]],
        "Sample of Reported Titles.tsv": [["O*NET-SOC Code", "Reported Job Title"]],
        "Task Statements.tsv": [["O*NET-SOC Code", "Task ID", "Task"]],
        "Technology Skills.tsv": [["O*NET-SOC Code", "Example", "Commodity Title"]],
        "Tasks to DWAs.tsv": [["Task", "DWA ID", "DWA Title"]],
    }
    for number in range(12):
        code = f"{number:02d}-0000.00"
        tables["Occupation Data.tsv"].append([code, f"Masters of craft {number}", tasks[number]])
        for form in ("Helper", "Foreman", "Apprentice"):
            tables["Alternate Titles.tsv"].append([code, f"{form} in craft {number % 9}"])
        for step in range(3):
            task = tasks[(number * 5 + step) % len(tasks)]
            tables["Task Statements.tsv"].append([code, f"{number}-{step}", task])
            tables["Tasks to DWAs.tsv"].append([task, f"a{number}", f"Do the work of kind {number}."])
        tables["Technology Skills.tsv"].append([code, f"Tool {number}", "tools"])
    for name, rows in tables.items():
        (folder / name).write_text("".join("\t".join(row) + "\n" for row in rows))


def _write_skillskape(folder: Path, labels: list[str]) -> None:
    folder.mkdir()
    for name, first in (("train.csv", 0), ("dev.csv", 30)):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["", "sentence", "skills"])
            for number in range(first, first + 30):
                writer.writerow([number, f"The team needs someone to {labels[number]}.", [labels[number], "UNK"]])


def build_in(out: Path, raw: RawSources, runner: Runner | None = None, config: BuildConfig = CONFIG) -> list[str]:
    """Build, and name the stages that were not found finished."""
    done: list[str] = []

    def tell(folder: Path, manifest: StageManifest, reused: bool) -> None:
        if not reused:
            done.append(manifest.stage)

    graph_build(Workspace(out, runner or LocalRunner(), tell), "sample", raw, None, config, "cpu").run()
    return done


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
