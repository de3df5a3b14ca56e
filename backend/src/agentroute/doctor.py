"""``agentroute doctor``: the preflight checks as a table, with what to do about each."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agentroute.preflight import CheckResult, check_all, find_local_models
from agentroute.profile_check import check_profile
from core.config import Settings, unknown_variables


def run_doctor(settings: Settings, *, console: Console | None = None) -> int:
    """Print the checks, unknown variables and a suggestion; return 1 when a check failed, else 0."""
    console = console or Console()
    results, local_models = asyncio.run(_look(settings))
    console.print(_table(results))
    for name in unknown_variables():
        console.print(f"[yellow]warning:[/] {escape(name)} is not a setting and has no effect")
    if local_models and settings.model.base_url.rstrip("/") not in local_models:
        console.print(
            f"[cyan]hint:[/] a model server answers at {local_models[0]}; "
            + f"AGENT_MODEL__BASE_URL={local_models[0]} would use it"
        )
    return 0 if all(result.ok for result in results) else 1


async def _look(settings: Settings) -> tuple[list[CheckResult], list[str]]:
    results, profile, local_models = await asyncio.gather(
        check_all(settings), check_profile(settings), find_local_models()
    )
    return [*results, profile], local_models


def _table(results: list[CheckResult]) -> Table:
    table = Table("check", "")
    # Folded, not cut: a URL or a command to copy must be whole.
    table.add_column("found", overflow="fold")
    table.add_column("what to do", overflow="fold")
    for result in results:
        mark = "[green]ok[/]" if result.ok else "[red]failed[/]"
        table.add_row(result.name, mark, escape(result.found), escape(result.fix))
    return table
