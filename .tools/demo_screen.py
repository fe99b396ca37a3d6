"""What `make demo` shows: on a terminal with a progress bar, elsewhere as plain lines."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Record = dict[str, Any]
    Manifest = dict[str, Any]

_PLAIN_WIDTH = 120
_SHOWN_ROWS = 10
_MOST_TEXT_WIDTH = 60
_LEAST_TEXT_WIDTH = 16
_OTHER_COLUMNS_WIDTH = 54


class DemoScreen:
    """Prints what happens, with the seconds since the demo began.

    Args:
        plain_every_seconds: how often progress is told where there is no terminal to draw a bar on.
    """

    def __init__(self, plain_every_seconds: float = 3.0) -> None:
        self._plain_every_seconds = plain_every_seconds
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, width=_PLAIN_WIDTH)
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._start:5.1f} s[/]  {escape(text)}")

    @contextlib.contextmanager
    def progress(self, total: int) -> Iterator[Callable[[Manifest], None]]:
        """Gives a function that shows a manifest as progress towards `total` rows."""
        if not self._console.is_terminal:
            yield self._plain_progress(total)
            return
        with Progress(BarColumn(bar_width=14), TextColumn("{task.description}"), console=self._console) as bar:
            task = bar.add_task("waiting for the first rows", total=total)

            def show(manifest: Manifest) -> None:
                if manifest:
                    bar.update(task, completed=manifest["counts"]["done"], description=_progress_text(manifest, total))

            yield show

    def show_result(
        self, records: Sequence[Record], manifest: Manifest, input_ids: Sequence[str], calls: int, job: Path
    ) -> bool:
        """The rows, the counts and where all of it lies. Says, and returns, whether the output is as promised."""
        self._console.print()
        self._console.print(_rows_table(records, self._console.width))
        ids = [record["id"] for record in records]
        in_order = ids == list(input_ids)
        counts, usage = manifest["counts"], manifest["usage"]
        order = "each id once, in the order of the input" if in_order else "[red]not the ids of the input in order[/]"
        lines = Table.grid(padding=(0, 2))
        lines.add_row("Records", f"{len(records):,}: {order}")
        lines.add_row("", f"{counts['succeeded']:,} succeeded, {counts['failed']:,} failed")
        lines.add_row("Calls", f"{calls:,} counted by the endpoint; {manifest['throttled']:,} throttled")
        lines.add_row("Tokens", f"{usage['inputTokens']:,} in, {usage['outputTokens']:,} out")
        lines.add_row("Cost", f"${manifest['known_cost_usd']:.4f} at AWS's list price; nothing was paid here")
        lines.add_row("Output", escape(_shown(job / "output.jsonl")))
        lines.add_row("Job", escape(f"{_shown(job)} (manifest, journal)"))
        self._console.print(lines)
        self._console.print("[dim]The sentiments come from a word list in the local endpoint, not from a model.[/]")
        return in_order and counts["failed"] == 0

    def explain(self, what: str, logs: Path) -> None:
        """Why the demo failed and what to do about it."""
        self._console.print(f"[red]The demo failed.[/] {escape(what)}")
        self._console.print(f"All logs are under {escape(_shown(logs))}. `make demo` starts from the beginning again.")

    def _plain_progress(self, total: int) -> Callable[[Manifest], None]:
        told_at = time.monotonic()
        told: Any = None

        def show(manifest: Manifest) -> None:
            nonlocal told_at, told
            now = time.monotonic()
            if not manifest or manifest["counts"]["done"] == told:
                return
            if now - told_at >= self._plain_every_seconds or manifest["counts"]["done"] == total:
                told_at, told = now, manifest["counts"]["done"]
                self.say(_progress_text(manifest, total))

        return show


def _progress_text(manifest: Manifest, total: int) -> str:
    tokens = sum(manifest["usage"].get(name, 0) for name in ("inputTokens", "outputTokens"))
    parts = [f"{manifest['counts']['done']:,} of {total:,} rows"]
    parts.append(f"{manifest['rows_per_second']:,.0f}/s")
    if manifest["eta_seconds"] is not None:
        parts.append(f"{manifest['eta_seconds']:,.0f} s to go")
    parts += [f"{tokens / 1000:,.0f}k tokens", f"${manifest['known_cost_usd']:.4f}"]
    return ", ".join(parts)


def _rows_table(records: Sequence[Record], width: int) -> Table:
    """Ten rows from all over the file, no wider than the terminal."""
    table = Table(title=f"{_SHOWN_ROWS} of {len(records):,} enriched rows", title_justify="left")
    for name in ("id", "review", "human", "sentiment", "score", "complaint"):
        table.add_column(name, no_wrap=True)
    text_width = min(_MOST_TEXT_WIDTH, max(_LEAST_TEXT_WIDTH, width - _OTHER_COLUMNS_WIDTH))
    for record in records[:: max(1, len(records) // _SHOWN_ROWS)][:_SHOWN_ROWS]:
        answer = record["answer"] or {}
        table.add_row(
            record["id"],
            escape(shorten(record["text"], text_width, placeholder="...")),
            record["human_sentiment"],
            *(str(answer.get(name, "")) for name in ("sentiment", "score", "is_complaint")),
        )
    return table


def _shown(path: Path) -> str:
    """Short where it can be: relative to the working directory."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
