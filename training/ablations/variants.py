"""Variants: for each ablation the trainings that it compares, each a configuration of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from training.ablations.config import PAPER_GRAPHS, AblationConfig, AblationName
from training.run_config import RunConfig
from uwe_core.gradients.objective import GraphLossConfig, LossKind
from uwe_core.interaction import InteractionConfig, InteractionKind

ALL_GRAPHS = "all"
ALL_TEXTS = "all"
SOFT: InteractionKind = "soft_late_interaction"
POOLED_TARGET: InteractionKind = "context_match"
_MEAN_POOLED = InteractionConfig(kind="pooled_cosine")


@dataclass(frozen=True)
class Variant:
    """One of the trainings that are compared.

    Attributes:
        name: in tables and file names.
        run: its configuration, but for the seed.
        family: of a curve, where variants are points of several.
        temperature: its interaction temperature, where the ablation is about that.
        synthetic_share: of the synthetic texts of the graphs that it is trained on.
    """

    name: str
    run: RunConfig
    family: str | None = None
    temperature: float | None = None
    synthetic_share: float = 1.0

    @property
    def title(self) -> str:
        """The name, with the share of texts where it is one, and the temperature where its interaction has one."""
        if self.synthetic_share < 1:
            return f"{100 * self.synthetic_share:g} % of the synthetic texts"
        interaction = self.run.interaction
        if interaction is None or interaction.kind not in {SOFT, POOLED_TARGET}:
            return self.name
        return f"{interaction.kind} at {interaction.interaction_temperature:g}"


def variants_of(name: AblationName, config: AblationConfig) -> list[Variant]:
    """The variants of an ablation, the paper's method last but in `temperature`, which has grids of both kinds."""
    return _BUILDERS[name](config)


def reference_of(name: AblationName) -> str | None:
    """The variant that is the paper's method, to which the others are compared seed by seed, where there is one."""
    references: dict[AblationName, str] = {"loss": "many_to_many", "interaction": SOFT, "texts": ALL_TEXTS}
    return references.get(name)


def _losses(config: AblationConfig) -> list[Variant]:
    """Table 4, with the cosine of mean tokens in training and ranking."""
    kinds: Sequence[LossKind] = ("info_nce", "pairwise", "many_to_many")
    run = _with_interaction(config.run, _MEAN_POOLED)
    return [Variant(kind, _with_losses(run, _of_kind(run, kind))) for kind in kinds]


def _of_kind(run: RunConfig, kind: LossKind) -> dict[str, GraphLossConfig]:
    """The losses in that kind; InfoNCE is one softmax over all graphs, so it takes the job graph's temperature."""
    losses = run.train.loss.graphs
    if kind != "info_nce":
        return {name: loss.model_copy(update={"kind": kind}) for name, loss in losses.items()}
    pooled = GraphLossConfig(alpha=1.0, loss_temperature=losses["job"].loss_temperature, kind=kind)
    return {name: pooled if loss.alpha > 0 else loss for name, loss in losses.items()}


def _transfers(config: AblationConfig) -> list[Variant]:
    """Figure 3: one graph at a time, and all, with the cosine of mean tokens."""
    run = _with_interaction(config.run, _MEAN_POOLED)
    losses = run.train.loss.graphs
    alone = [
        {name: loss.model_copy(update={"alpha": float(name == graph)}) for name, loss in losses.items()}
        for graph in PAPER_GRAPHS
    ]
    variants = [Variant(graph, _with_losses(run, own)) for graph, own in zip(PAPER_GRAPHS, alone, strict=True)]
    return [*variants, Variant(ALL_GRAPHS, run)]


def _texts(config: AblationConfig) -> list[Variant]:
    """Many-to-many as in the ablation `loss`, over fewer synthetic texts and over all."""
    run = _with_interaction(config.run, _MEAN_POOLED)
    run = _with_losses(run, _of_kind(run, "many_to_many"))
    fewer = [Variant(f"share{share:g}", run, synthetic_share=share) for share in sorted(set(config.shares))]
    return [*fewer, Variant(ALL_TEXTS, run)]


def _interactions(config: AblationConfig) -> list[Variant]:
    """Table 5: many-to-many InfoNCE under each interaction."""
    soft = (
        config.soft_temperature or (config.run.interaction or config.run.train.loss.interaction).interaction_temperature
    )
    pooled = config.pooled_temperature or soft
    interactions = (
        _MEAN_POOLED,
        InteractionConfig(kind="max_sim"),
        InteractionConfig(kind=POOLED_TARGET, interaction_temperature=pooled),
        InteractionConfig(kind=SOFT, interaction_temperature=soft),
    )
    return [Variant(each.kind, _with_interaction(config.run, each)) for each in interactions]


def _temperatures(config: AblationConfig) -> list[Variant]:
    """Figure 4: both soft interactions over a grid."""
    return [
        Variant(
            f"{kind}@{temperature:g}",
            _with_interaction(config.run, InteractionConfig(kind=kind, interaction_temperature=temperature)),
            family=kind,
            temperature=temperature,
        )
        for kind in (SOFT, POOLED_TARGET)
        for temperature in sorted(config.temperatures)
    ]


_BUILDERS: Mapping[AblationName, Callable[[AblationConfig], list[Variant]]] = {
    "loss": _losses,
    "interaction": _interactions,
    "temperature": _temperatures,
    "transfer": _transfers,
    "texts": _texts,
}


def _with_interaction(run: RunConfig, interaction: InteractionConfig) -> RunConfig:
    """The same interaction in ranking and in the loss, which takes the mean over query tokens."""
    reduction = run.train.loss.interaction.query_reduction
    in_loss = interaction.model_copy(update={"query_reduction": reduction})
    loss = run.train.loss.model_copy(update={"interaction": in_loss})
    return run.model_copy(update={"interaction": interaction, "train": run.train.model_copy(update={"loss": loss})})


def _with_losses(run: RunConfig, graphs: Mapping[str, GraphLossConfig]) -> RunConfig:
    loss = run.train.loss.model_copy(update={"graphs": dict(graphs)})
    return run.model_copy(update={"train": run.train.model_copy(update={"loss": loss})})
