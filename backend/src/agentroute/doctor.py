"""``agentroute doctor``: the checks of every start as a table, with what to do about each."""

from __future__ import annotations

import asyncio
import importlib

import asyncpg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agentroute import preflight
from agentroute.check_result import CheckResult
from agentroute.identity_probe import probe_identity
from agentroute.log_check import check_log_parts
from agentroute.mcp_probe import probe_mcp
from agentroute.model_probe import probe_models
from agentroute.own_packages import shadowed_packages
from agentroute.preflight import find_local_models
from agentroute.profile_check import check_profile_of_worker
from agentroute.replica_check import check_replica
from agentroute.start_checks import SERVE_CHECKS, WORKER_CHECKS
from core.agentscope.runtime.profile.agents import load_agents
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.config import Settings, unknown_variables
from core.postgres_connection import direct_dsn, open_connection
from core.worker_count import count_workers


def run_doctor(settings: Settings, *, console: Console | None = None) -> int:
    """Print the checks, unknown variables and a suggestion; return 1 when a check failed, else 0."""
    console = console or Console()
    results, local_models = asyncio.run(_look(settings))
    console.print(_table(results))
    for name in unknown_variables():
        console.print(f"[yellow]warning:[/] {escape(name)} is not a setting and has no effect")
    for package in shadowed_packages():
        console.print(f"[yellow]warning:[/] {escape(package.line)}")
    if local_models and settings.model.base_url.rstrip("/") not in local_models:
        console.print(
            f"[cyan]hint:[/] a model server answers at {local_models[0]}; "
            + f"AGENT_MODEL__BASE_URL={local_models[0]} would use it"
        )
    return 0 if all(result.ok for result in results) else 1


async def _look(settings: Settings) -> tuple[list[CheckResult], list[str]]:
    results, local_models = await asyncio.gather(_results(settings), find_local_models())
    return results, local_models


async def _results(settings: Settings) -> list[CheckResult]:
    # Each check of a start once, then the model: its answer changes from day to day, so no start depends on it.
    checks = dict.fromkeys((*SERVE_CHECKS, *WORKER_CHECKS, preflight.check_model))
    # The same for one that imports the modules of tools.
    del checks[check_profile_of_worker]
    results = list(await asyncio.gather(*(check(settings) for check in checks)))
    models = await probe_models(settings) if results[-1].ok else ()
    servers = await probe_mcp(settings)
    results += await probe_identity(settings)
    return [
        *results,
        *await check_log_parts(settings),
        *await check_replica(settings),
        *await _workers(settings),
        *await _agent(settings),
        *models,
        *servers,
    ]


async def _agent(settings: Settings) -> list[CheckResult]:
    """Return whether an agent with code or skills of users can be made. For this, AgentScope is imported."""
    try:
        profiles = load_agents(settings.profile_path).profiles.values()
        if not any(
            each.agent.reference or each.middlewares or each.knowledge or each.skills.paths
            for each in profiles
        ):
            return []
    except ProfileInvalid:
        # The check of the profile says what is wrong.
        return []
    # By name: this module is imported where AgentScope must not be.
    check = importlib.import_module("agentroute.agent_check").check_agent
    return [await check(settings)]


async def _workers(settings: Settings) -> list[CheckResult]:
    """Return how many workers run, without a demand: before the first start there are none."""
    if not settings.database.url.get_secret_value():
        return []
    try:
        connection = await open_connection(
            direct_dsn(settings.database),
            application_name="agentroute-check",
            connect_seconds=preflight.TIMEOUT_SECONDS,
            statement_seconds=preflight.TIMEOUT_SECONDS,
        )
        try:
            live = await count_workers(connection)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError):
        # The check of Postgres tells.
        return []
    if live is None:
        return []
    found = f"{live} running" if live else "none is running; runs wait until one is: `agentroute worker`"
    return [CheckResult("Workers", True, found)]


def _table(results: list[CheckResult]) -> Table:
    table = Table("check", "")
    # Folded, not cut: a URL or a command to copy must be whole.
    table.add_column("found", overflow="fold")
    table.add_column("what to do", overflow="fold")
    for result in results:
        mark = "[green]ok[/]" if result.ok else "[red]failed[/]"
        table.add_row(result.name, mark, escape(result.found), escape(result.fix))
    return table
