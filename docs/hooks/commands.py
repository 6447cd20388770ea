"""The commands of `uwe` and `uwe-serve` as a page, from the commands themselves."""

from __future__ import annotations

from typing import Any

import typer

from service.cli import app as serve
from training.cli import app as uwe

_MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """What mkdocs calls for each page."""
    return markdown.replace(_MARK, commands_page()) if _MARK in markdown else markdown


def commands_page() -> str:
    """Every command with its arguments and options, in the order of `--help`."""
    return "\n".join([*_sections("uwe", uwe), *_sections("uwe-serve", serve)])


def _sections(name: str, app: typer.Typer) -> list[str]:
    return _described(name, typer.main.get_command(app))


def _described(name: str, command: Any) -> list[str]:
    inner = getattr(command, "commands", None) or {}
    below = [line for each in inner for line in _described(f"{name} {each}", inner[each])]
    if inner and not command.invoke_without_command:
        return below
    lines = [f"## `{name}`", "", command.help or "", "", "| | default | |", "|---|---|---|"]
    context = typer.Context(command, info_name=name)
    lines += [_row(parameter, context) for parameter in command.params if parameter.name != "help"]
    return [*lines, "", *below]


def _row(parameter: Any, context: typer.Context) -> str:
    names = ", ".join(f"`{option}`" for option in parameter.opts)
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    default = parameter.get_default(context, call=False)
    # Homes differ between machines, and an absent default says nothing.
    shown = "" if default in (None, (), [], False) or parameter.name == "home" else f"`{_plain(default)}`"
    if parameter.required:
        shown = "required"
    return f"| {names} | {shown} | {(parameter.help or '').replace('|', chr(92) + '|')} |"


def _plain(default: Any) -> str:
    values = default if isinstance(default, (list, tuple)) else [default]
    return ", ".join(str(getattr(value, "value", value)) for value in values)
