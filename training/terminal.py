"""What is shown on the terminal: bars with rate and remaining time, and tables in their full width."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Task as BarTask
from rich.progress import TaskID as BarTaskID
from rich.table import Table
from rich.text import Text

_WIDEST = 10_000


class _Rate(TextColumn):
    def render(self, task: BarTask) -> Text:
        rate = task.finished_speed or task.speed or 0.0
        shown = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2f}/s"
        return Text(shown if rate else "", style="progress.data.speed")


@dataclass
class Bar:
    """A bar that appears with its first step, so that work already done draws nothing."""

    _progress: Progress
    _task: BarTaskID
    moved: bool = False

    def update(self, done: int, total: int | None, note: str = "") -> None:
        """So many of so many (None: nobody knows) are done; the note stands at the end of the line."""
        self.moved = True
        self._progress.update(self._task, completed=done, total=total, visible=True, note=note)

    def tell(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_bar(what: str) -> Iterator[Bar]:
    """A bar on standard error while the block runs."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(""),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bar(progress, progress.add_task(what, total=None, visible=False, note=""))


def print_whole(table: Table, stream: IO[str] | None = None) -> None:
    """Print a table as wide as it is: a narrower terminal or a pipe does not squeeze its numbers.

    Args:
        table: what to print.
        stream: where to; standard output where None.
    """
    width = Console(width=_WIDEST).measure(table).maximum
    Console(width=max(Console().width, width), file=stream).print(table)
