"""How commands show rows."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from agentroute.terminal.harmless import harmless


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equally many cells, the head first, in columns. No cell drives the terminal, or breaks its line.

    Control characters are written out before the columns are measured, so that they stay columns.
    """
    shown = [[harmless(cell).replace("\t", " ").replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
