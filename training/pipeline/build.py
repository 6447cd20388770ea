"""Build: all stages in order, from raw sources to bipartite graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from training.pipeline import (
    ad_lines,
    aggregate,
    assemble,
    degrees,
    documents,
    enrich,
    extract,
    graph_sources,
    leaks,
    matching,
    report,
    sharpen,
    threshold,
    title_noise,
    vectors,
)
from training.pipeline.config import BuildConfig
from training.pipeline.generation.generate import TEXTS_FILE, generate
from training.pipeline.generation.generated_texts import DescribedSkill, TextSource
from training.pipeline.graph_sources import SourceTables
from training.pipeline.ingest import ingest, ingest_onet
from training.pipeline.inputs import RawSources, Skill
from training.pipeline.parts import concatenate
from training.pipeline.threshold import THRESHOLD_FILE, ThresholdChoice, choose_threshold
from training.pipeline.workspace import RunParts, Workspace
from training.sources import skillskape as skillskape_source
from training.sources.onet import read_task_activities
from training.terminal import progress_bar
from training.workbench.baselines.specification import load_model
from training.workbench.dataset import RankingDataset
from uwe_core.errors import ConfigurationError, InputError
from uwe_core.files import sha256_of
from uwe_core.model import UweModel

GRAPHS = "graphs"


@dataclass(frozen=True)
class GraphBuild:
    """One build: what goes in, how, and where the stages are kept.

    Attributes:
        raw: where raw data lie.
        skills: the skill space, or a cut of it.
        texts: where generated texts come from; None builds without any.
        annotated: sentences with their skills, on which the threshold of extraction is chosen.
        check: the texts that no graph may hold.
        config: of all stages.
        workspace: where they are kept.
        device: `auto`, `cpu`, `cuda` or `cuda:n`.
        models: those used so far, by word.
    """

    raw: RawSources
    skills: Sequence[Skill]
    texts: TextSource | None
    annotated: Sequence[RankingDataset]
    check: leaks.LeakCheck
    config: BuildConfig
    workspace: Workspace
    device: str = "auto"
    models: dict[str, UweModel] = field(default_factory=dict)

    def run(self) -> Path:
        """All stages in order; the folder of the graphs.

        Raises:
            InputError: there is nothing to build from, or a raw source is not what it should be.
            ConfigurationError: another build is at work in the folder, or no threshold can be chosen.
        """
        if not (self.raw.vacancies or self.raw.onet or self.texts):
            raise InputError("nothing to build graphs from: name vacancies, O*NET or generated texts")
        with self.workspace.locked():
            self._ingest()
            self._documents()
            self._threshold()
            self._predictions()
            self._jobs()
            self._generated()
            self._vectors()
            self._enriched()
            self._sharpened()
            self._graphs()
            self._report()
            return self._folder(GRAPHS)

    def _folder(self, stage: str) -> Path:
        return self.workspace.root / stage

    def _ingest(self) -> None:
        if self.raw.vacancies:
            folder = self._folder("vacancies")
            self.workspace.add(folder, *ingest(self.raw.vacancies, folder, self.raw.columns))
        if self.raw.onet:
            folder = self._folder("onet")
            self.workspace.add(folder, *ingest_onet(self.raw.onet, folder))

    def _documents(self) -> None:
        config, seed = self.config.documents, self.config.seed

        def work(aside: Path, _: RunParts) -> dict[str, int]:
            found = documents.all_documents(
                self._folder("vacancies") if self.raw.vacancies else None,
                self._folder("onet") if self.raw.onet else None,
                config,
                seed,
            )
            return documents.write_documents(found, aside, config.sentences_per_part)

        self.workspace.stage(
            "documents", [documents], [config.model_dump(), seed], ["vacancies", "onet"], work
        )  # fmt: skip

    def _threshold(self) -> None:
        config = self.config.extract
        # Without a document nothing is extracted, and no threshold is needed.
        given = config.threshold if self.workspace.manifests["documents"].counts["documents kept"] else 1.0
        sentences = [dataset.fingerprint for dataset in self.annotated]
        inputs = [config.model_dump(), given, sentences, self._model(config.model).fingerprint]

        def work(aside: Path, _: RunParts) -> dict[str, int]:
            if given is None and not self.annotated:
                raise ConfigurationError(
                    "there are no annotated sentences to choose the threshold of extraction on: set extract.threshold"
                )
            choice = self._choose() if given is None else ThresholdChoice.given(given)
            (aside / THRESHOLD_FILE).write_text(choice.model_dump_json(indent=1) + "\n")
            return {"annotated sentences": sum(len(dataset.queries) for dataset in self.annotated)}

        self.workspace.stage("threshold", [threshold, extract], inputs, [], work)

    def _choose(self) -> ThresholdChoice:
        config = self.config.extract
        model = self._model(config.model)
        return choose_threshold(
            model, self.annotated, self.workspace.indexes, config.most_per_sentence, config.precision_weight
        )

    def _predictions(self) -> None:
        config = self.config.extract
        chosen = ThresholdChoice.read(self._folder("threshold")).threshold
        part = extract.ExtractPart(
            documents=self._folder("documents"),
            skills=tuple(skill.label for skill in self.skills),
            model=config.model,
            device=self.device,
            indexes=self.workspace.indexes,
            threshold=chosen,
            most_per_sentence=config.most_per_sentence,
        )

        def work(aside: Path, run: RunParts) -> dict[str, int]:
            part.prepare(self._model(config.model))
            rows = concatenate(run(part), aside / extract.PREDICTIONS_FILE, extract.PREDICTIONS_SCHEMA)
            found = pl.scan_parquet(aside / extract.PREDICTIONS_FILE).select(pl.col("document").n_unique()).collect()
            kept = int(found.item())
            total = self.workspace.manifests["documents"].counts["documents kept"]
            return {"predictions": rows, "documents": kept, "dropped: no confident prediction": total - kept}

        inputs = [config.model_dump(), chosen, self._model(config.model).fingerprint, list(part.skills)]
        self.workspace.stage("predictions", [extract], inputs, ["documents"], work)

    def _jobs(self) -> None:
        config, seed = self.config.aggregate, self.config.seed
        self.workspace.stage(
            "jobs", [aggregate], [config.model_dump(), seed], ["documents", "predictions"],
            lambda aside, _: aggregate.aggregate(
                self._folder("documents"), self._folder("predictions"), aside, config, seed
            ),
        )  # fmt: skip

    def _generated(self) -> None:
        if self.texts is None:
            return
        described = [DescribedSkill(skill.uri, skill.label, skill.description) for skill in self.skills]
        folder = self._folder("generated")
        with progress_bar("generated") as bar:
            self.workspace.add(folder, *generate(described, folder, self.texts, bar.update))

    def _tables(self) -> SourceTables:
        generated = self._folder("generated") / TEXTS_FILE if self.texts else None
        return SourceTables(self.skills, self._folder("documents"), self._folder("jobs"), generated)

    def _vectors(self) -> None:
        config, tables = self.config.enrich, self._tables()

        def work(aside: Path, run: RunParts) -> dict[str, int]:
            texts = tables.texts_to_match()
            path = self.workspace.root / ".parts" / "texts.parquet"
            path.parent.mkdir(exist_ok=True)
            vectors.write_texts(texts, path, config.texts_per_part)
            vectors.join_vectors(run(vectors.EncodePart(path, config.model, self.device)), aside / vectors.VECTORS_FILE)
            path.rename(aside / vectors.TEXTS_FILE)
            return {"texts": len(texts)}

        inputs = [config.texts_per_part, self._model(config.model).fingerprint, [skill.label for skill in self.skills]]
        self.workspace.stage("vectors", [vectors, graph_sources], inputs, ["jobs", "generated"], work)

    def _enriched(self) -> None:
        config, tables = self.config.enrich, self._tables()

        def work(aside: Path, run: RunParts) -> dict[str, int]:
            generated, real = tables.generated_titles, tables.training_titles
            titles = generated["title"].unique().sort().to_list()
            of = vectors.TextVectors(self._folder("vectors")).of
            for name, texts in (("generated", titles), ("real", real["title"].to_list())):
                np.save(aside / f"{name}.npy", of(texts))
            part = matching.MatchPart(
                aside / "generated.npy", aside / "real.npy", config.threshold, config.texts_per_part, self.device
            )
            matches = enrich.read_matches(run(part) if titles and len(real) else [])
            for name in ("generated", "real"):
                (aside / f"{name}.npy").unlink()
            edges = enrich.enriched_edges(generated, titles, real, matches, config.threshold)
            edges.write_parquet(aside / enrich.TITLE_EDGES_FILE)
            enrich.match_curve(matches, len(titles)).write_parquet(aside / enrich.CURVE_FILE)
            matched = matches.filter(pl.col("cosine") > config.threshold)
            return {
                "generated titles": len(titles),
                "matched": matched["text"].n_unique(),
                "matches": len(matched),
                "edges": len(edges),
            }

        self.workspace.stage(
            "enriched", [enrich, matching], config.model_dump(), ["vectors", "generated", "jobs"], work
        )

    def _sharpened(self) -> None:
        config, tables, seed = self.config.sharpen, self._tables(), self.config.seed

        def work(aside: Path, _: RunParts) -> dict[str, int]:
            of = vectors.TextVectors(self._folder("vectors")).of
            edges = tables.title_edges(config.skills_per_title, of)
            lines = tables.composed_lines(config.composed_lines, self.check, seed)
            counts: Counter[str] = Counter()
            share = self.config.aggregate.validation_share
            titles = tables.title_graph(share, self.check, counts, seed) if config.title_graph else None
            activities = self._activities() if config.activity_graph else None
            for name, table in (("jobs", edges), ("lines", lines), ("titles", titles), ("activities", activities)):
                if table is not None:
                    table.write_parquet(aside / f"{name}.parquet")
                    counts[f"edges of {name}"] = len(table)
            return counts

        inputs = [config.model_dump(), seed, self.config.aggregate.validation_share, self.check.fingerprint]
        reads = ["documents", "jobs", "generated", "vectors", "onet"]
        self.workspace.stage("sharpened", [sharpen, ad_lines, title_noise, graph_sources], inputs, reads, work)

    def _activities(self) -> pl.DataFrame:
        if self.raw.onet is None:
            raise ConfigurationError("sharpen.activity_graph needs O*NET")
        return sharpen.activity_edges(read_task_activities(self.raw.onet))

    def _report(self) -> None:
        manifests = dict(self.workspace.manifests)

        def work(aside: Path, _: RunParts) -> dict[str, int]:
            report.write_report(self.workspace.root, manifests, aside)
            return {"stages": len(manifests)}

        self.workspace.stage("report", [report, degrees], [], list(manifests), work)

    def _graphs(self) -> None:
        described = [astuple(skill) for skill in self.skills]
        folder = self.raw.skillskape
        skillskape = [] if folder is None else [sha256_of(folder / name) for name in skillskape_source.FILES]
        self.workspace.stage(
            GRAPHS, [assemble, graph_sources, skillskape_source, leaks],
            [described, skillskape, self.check.fingerprint], ["jobs", "generated", "enriched", "sharpened"],
            lambda aside, _: assemble.write_graphs(
                aside, self._tables(), self._folder("enriched"), self._folder("sharpened"), self.raw.skillskape,
                self.check,
            ),
        )  # fmt: skip

    def _model(self, word: str) -> UweModel:
        """A model, which is loaded once."""
        if word not in self.models:
            self.models[word] = load_model(word, self.device)
        return self.models[word]
