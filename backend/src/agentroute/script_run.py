"""The program of ``script/run``: ``agentroute embedded``, with a help that names the command a user typed."""

from __future__ import annotations

import typer

from agentroute.cli import embedded

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
program.command()(embedded)

if __name__ == "__main__":
    program(prog_name="script/run")
