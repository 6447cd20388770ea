"""The model card of a checkpoint: its `README.md`, in the conventions of the model hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import ModelCardData

from training.data_credits import data_credits, edges_by_graph, edges_by_source
from training.evaluate import SAMPLE
from training.run_record import RunRecord
from uwe_core.builtin_models import BUILTIN_MODELS
from uwe_core.interaction import InteractionConfig
from uwe_core.trainer.run_folder import CheckpointFacts
from uwe_core.trainer.train_config import TrainConfig

_LIBRARY = "unified-work-embeddings"
_TAGS = ["labour-market", "skills", "job-titles", "esco", "ranking", "late-interaction", "bi-encoder", _LIBRARY]
_FOLDER = "FOLDER"

_WHAT = """\
A bi-encoder for texts of the labour market (Unified Work Embeddings, De Lange, Decorte and Van Hautte 2025,
arXiv 2511.07969). It embeds the tokens of a query and of every target and ranks the targets by an interaction between
them: skills for a job, jobs for a skill, the official skill or job title that a messy text means, the skills in a
sentence of a vacancy, skills that are alike.

## Intended use

Search, suggestion and normalisation of skills and job titles in English, with a person who looks at what is found;
research on ranking.

**Not for automated decisions about people**: not to select, reject, score or compare candidates or employees without a
person who decides. A rank says that texts are alike, and nothing of anyone's ability. The model repeats what stands in
its data, their gaps and prejudices included, and was not examined for them.
"""

_LOADING = f"""\
```python
from uwe_core.model import UweModel

model = UweModel.from_pretrained("{_FOLDER}")
```

`{_FOLDER}` is where this file lies. The commands `uwe evaluate --model {_FOLDER}` and
`uwe precompute --model {_FOLDER}` take it too, and the service: `UWE_MODEL={_FOLDER} uwe-serve`."""


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

    Attributes:
        checkpoint: what it is.
        run: that made it, its configuration as it was trained.
        graph_counts: of the manifest of its graphs.
    """

    checkpoint: CheckpointFacts
    run: RunRecord
    graph_counts: Mapping[str, int]


def model_card(facts: CardFacts) -> str:
    """The whole card: front matter of YAML, then Markdown."""
    base = _Base.of(facts.checkpoint.info.base)
    front_matter = ModelCardData(
        language="en",
        library_name=_LIBRARY,
        pipeline_tag="sentence-similarity",
        license=base.licence,
        base_model=base.hub_id,
        tags=_TAGS,
    ).to_yaml()
    sections = [
        f"# Unified Work Embeddings over {base.name}",
        _WHAT.rstrip(),
        _section("How to load it", [_LOADING, *_weights(facts, base)]),
        _section("The score", [_interaction(facts.checkpoint.info.interaction)]),
        _section("Training data", _training_data(facts)),
        _section("Training", _training(facts)),
        _section("Validation", _validation(facts.checkpoint, facts.run.data)),
        _section("Spaces it has seen", [_spaces(facts.checkpoint.info.seen_spaces)]),
        _section("Licence", [_licence(base)]),
    ]
    return f"---\n{front_matter}\n---\n\n" + "\n\n".join(sections) + "\n"


@dataclass(frozen=True)
class _Base:
    """The encoder that training began with; id and licence where they are known."""

    name: str
    hub_id: str | None = None
    licence: str | None = None

    @classmethod
    def of(cls, word: str | None) -> _Base:
        builtin = BUILTIN_MODELS.get(word or "")
        if builtin is not None:
            return cls(builtin.origin, builtin.origin, builtin.licence)
        if word is None:
            return cls("an unnamed base")
        # A folder's path says something of the machine alone, so its last part must do.
        return cls(Path(word).name) if Path(word).is_absolute() else cls(word, word)


def _weights(facts: CardFacts, base: _Base) -> list[str]:
    if facts.run.config.train.lora is None:
        return ["The folder holds all weights."]
    return [f"The folder holds low-rank adapters alone; they are merged into {base.name}, which must be there too."]


def _interaction(interaction: InteractionConfig) -> str:
    return (
        f"`{interaction.kind}` at interaction temperature {interaction.interaction_temperature:g}, "
        f"`{interaction.query_reduction}` over the query's tokens."
    )


def _training_data(facts: CardFacts) -> list[str]:
    edges = edges_by_graph(facts.graph_counts)
    losses = facts.run.config.train.loss.graphs
    graphs = [
        (name, f"{edges.get(name, 0):,}", f"{loss.alpha:g}", f"{loss.loss_temperature:g}")
        for name, loss in losses.items()
    ]
    sources = [(source, f"{count:,}") for source, count in edges_by_source(facts.graph_counts).items()]
    owners = [(one.name, one.licence, one.credit) for one in data_credits(facts.graph_counts, facts.run.data)]
    return [
        f"Bipartite graphs of skills and other texts, fingerprint `{facts.run.graphs_fingerprint}`.",
        _table(("graph", "edges", "weight in the loss", "loss temperature"), graphs),
        "Their edges by source; `composed`, `description` and `matched` are made from the others and from the skills:",
        _table(("source", "edges"), sources),
        "Owners and licences:",
        _table(("data", "licence", "credit"), owners),
    ]


def _training(facts: CardFacts) -> list[str]:
    run, checkpoint = facts.run, facts.checkpoint
    train = run.config.train
    rows = [
        ("recipe", run.recipe or "none"),
        ("steps", f"{checkpoint.step}" if checkpoint.plan is None else f"{checkpoint.step} of {checkpoint.plan.steps}"),
        ("skills a batch", f"{train.sampling.skills_per_batch}"),
        ("trained weights", _trained_weights(train)),
        ("peak learning rate", f"{train.peak_learning_rate:g}"),
        ("score in training", f"`{train.loss.interaction.kind}`, {train.loss.interaction.interaction_temperature:g}, "
         f"`{train.loss.interaction.query_reduction}`"),
        ("seed", f"{train.seed}"),
        ("precision", train.precision if checkpoint.plan is None else checkpoint.plan.precision),
        ("machine", run.machine or "unknown"),
        *run.versions.items(),
    ]  # fmt: skip
    untrained = ["No update was made yet: this is the base itself."] if checkpoint.step == 0 else []
    return [*untrained, _table(("what", "value"), rows)]


def _trained_weights(train: TrainConfig) -> str:
    which = "all" if train.lora is None else f"adapters of rank {train.lora.rank}, alpha {train.lora.alpha}"
    frozen = [f"the lowest {train.freeze_lowest_layers} layers"] if train.freeze_lowest_layers else []
    frozen += ["embeddings"] if train.freeze_embeddings else []
    return f"{which}; frozen: {' and '.join(frozen)}" if frozen else which


def _validation(checkpoint: CheckpointFacts, data: str) -> list[str]:
    if not checkpoint.info.metrics:
        return ["This checkpoint was saved between two validations and has no figures."]
    sets = "the sample's own tasks, which have no validation part" if data == SAMPLE else "validation sets, no test set"
    return [
        f"Percentages after step {checkpoint.step}, on {sets}; the best checkpoint was chosen by their average:",
        _metrics_table(checkpoint.info.metrics),
    ]


def _metrics_table(metrics: Mapping[str, float]) -> str:
    """A row for each data set, a column for each measure; a name without `/` stands in a row without a name."""
    places = {name: name.rpartition("/")[::2] for name in metrics}
    datasets = dict.fromkeys(dataset for dataset, _ in places.values())
    measures = dict.fromkeys(measure for _, measure in places.values())
    values = {places[name]: f"{value:.1f}" for name, value in metrics.items()}
    rows = [(dataset, *(values.get((dataset, measure), "") for measure in measures)) for dataset in datasets]
    return _table(("data set", *measures), rows)


def _spaces(seen: Sequence[str]) -> str:
    if not seen:
        return "None that is known of: every target space is zero-shot."
    names = ", ".join(f"`{name}`" for name in seen)
    return f"Training saw the texts of {names}. Every other target space is zero-shot."


def _licence(base: _Base) -> str:
    of_base = f"The base is under {base.licence}" if base.licence else "The licence of the base is not known here"
    return f"{of_base}; the data have the licences above, whose credit lines go with every copy of this model."


def _section(title: str, paragraphs: Iterable[str]) -> str:
    return "\n\n".join([f"## {title}", *paragraphs])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())
