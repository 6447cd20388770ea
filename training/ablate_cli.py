"""`uwe ablate`: the paper's ablations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from training.ablate import AblationRequest, ablate
from training.ablations.config import AblationName, ablation_config, default_recipe, default_size
from training.ablations.plots import PLOT_FILE
from training.ablations.report import JSON_FILE, MARKDOWN_FILE, AblationReport
from training.evaluate import SAMPLE
from training.interruption import STOPPED_STATUS, stop_on_signals
from training.options import Data, Device
from training.recipes import RECIPES
from training.terminal import print_whole
from uwe_core.device import resolve_device


def ablate_command(  # noqa: PLR0913, PLR0917 - a command has as many options as it has
    name: Annotated[
        AblationName, typer.Argument(help="Tables 4 and 5, figures 4 and 3 of the paper, and fewer synthetic texts.")
    ],
    graphs: Annotated[Path, typer.Option(help="The folder 'graphs' of `uwe data build`.")],
    out: Annotated[Path, typer.Option(help="For the results; finished cells in it are not done again.")],
    data: Data = SAMPLE,
    recipe: Annotated[
        str | None, typer.Option(help=f"One of: {', '.join(RECIPES)}; paper on a GPU, else minilm_cpu.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of each run; 600 on a GPU (transfer: 300), else 100.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each variant; 5 on a GPU, else 3.")] = None,
    skills: Annotated[int | None, typer.Option(min=1, help="Of a batch; 512 on a GPU, else 64.")] = None,
    queries: Annotated[int | None, typer.Option(min=1, help="Of each validation set; 500 on a GPU, else 300.")] = None,
    targets: Annotated[
        int | None, typer.Option(min=1, help="Likewise, but for those that queries need; all on a GPU, else 2000.")
    ] = None,
    soft_temperature: Annotated[
        float | None, typer.Option(help="interaction: of soft late interaction; that of the recipe.")
    ] = None,
    pooled_temperature: Annotated[
        float | None, typer.Option(help="interaction: of the pooled target; the same, or the paper's with its recipe.")
    ] = None,
    temperatures: Annotated[
        list[float] | None, typer.Option("--temperature", help="temperature: a value of the grid; the paper's, scaled.")
    ] = None,
    shares: Annotated[
        list[float] | None, typer.Option("--share", help="texts: of the synthetic ones, against all; 0.5.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="As for `uwe train`, for all variants.")] = None,
    keep_weights: Annotated[bool, typer.Option("--keep-weights", help="Keep the checkpoint of each run.")] = False,
    device: Device = "auto",
) -> None:
    """Train the variants of one of the paper's ablations. Stopped or killed, the same command goes on."""
    has_gpu = resolve_device(device).type == "cuda"
    given = {"steps": steps, "seeds": seeds, "skills": skills, "queries": queries, "targets": targets}
    size = default_size(name, has_gpu=has_gpu).model_copy(update=_named(given))
    config = ablation_config(
        recipe or default_recipe(has_gpu=has_gpu),
        size,
        settings or (),
        **_named(
            {
                "soft_temperature": soft_temperature,
                "pooled_temperature": pooled_temperature,
                "temperatures": tuple(temperatures or ()) or None,
                "shares": tuple(shares or ()) or None,
            }
        ),
    )
    request = AblationRequest(name, graphs, data, config, out, device, keep_weights)
    with stop_on_signals() as should_stop:
        outcome = ablate(request, lambda line: typer.echo(line, err=True), should_stop)
    if outcome.report is not None:
        _show(outcome.report, out)
    if outcome.stopped:
        typer.echo("stopped, nothing is lost; start the same command to go on", err=True)
        raise typer.Exit(STOPPED_STATUS)


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _show(report: AblationReport, out: Path) -> None:
    header, *rows = report.rows()
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    print_whole(table)
    typer.echo(report.caption)
    typer.echo(f"{out}: {MARKDOWN_FILE}, {JSON_FILE} and {PLOT_FILE}")
