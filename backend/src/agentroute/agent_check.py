"""``agentroute check``: makes the agent without a model call, and prints what it is and what is missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agentroute.check_result import CheckResult
from core.agentscope.runtime.agent.agent_kit import AgentKit
from core.agentscope.runtime.agent.agent_kits import build_kits
from core.agentscope.runtime.agent.factory.examination import OF_PROFILE, Examination, examine
from core.agentscope.runtime.agent.factory.lifespan import LifespanInvalid
from core.agentscope.runtime.agent.factory.opening import FactoryOpener, open_model_client
from core.agentscope.runtime.agent.factory.user_factory import AgentCodeInvalid
from core.agentscope.runtime.model.prices import PricesInvalid
from core.agentscope.runtime.profile.agents import load_agents
from core.agentscope.runtime.profile.fallbacks import open_fallbacks
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.memory_store import InMemoryMemoryStore
from core.config import Settings

_NAME = "Agent"
_NO_ADDRESS = "http://localhost/v1"
_NO_MODEL = (
    "AGENT_MODEL__BASE_URL is not set: `agentroute dev` and `agentroute embedded` answer with a scripted demo model, "
    "and no other worker starts"
)


def run_check(
    settings: Settings,
    path: Path | None,
    *,
    as_json: bool,
    console: Console | None = None,
    on_unusable: Callable[[], object] = lambda: None,
) -> int:
    """Print the agents of a file or a folder of profiles; return 1 if one cannot be used, else 0.

    Args:
        settings: What the environment says.
        path: The file or folder; the settings' when None.
        as_json: Whether JSON is printed, not text for people.
        console: Where it is printed.
        on_unusable: Called if an agent cannot be made at all.
    """
    console = console or Console()
    try:
        examined = asyncio.run(examine_agents(settings, path))
    except _REFUSALS as exc:
        examined = {"": _unusable(str(exc))}
        on_unusable()
    # Its model is the first that is found of an agent.
    if any(found.problems and found.kind and "agent" not in found.models for found in examined.values()):
        on_unusable()
    if as_json:
        told = {agent_id: asdict(found) | {"ok": not found.problems} for agent_id, found in examined.items()}
        ok = all(each["ok"] for each in told.values())
        whole = next(iter(told.values())) if len(told) == 1 else {"agents": told, "ok": ok}
        console.file.write(json.dumps(whole, indent=2) + "\n")
    else:
        for agent_id, found in examined.items():
            if len(examined) > 1:
                console.rule(escape(agent_id))
            _print(found, console)
    return 1 if any(found.problems for found in examined.values()) else 0


async def check_agent(settings: Settings) -> CheckResult:
    """Return for ``doctor`` whether the agents can be made."""
    fix = "Run `agentroute check` for all of it."
    try:
        examined = await examine_agents(settings, None)
    except _REFUSALS as exc:
        return CheckResult(_NAME, False, str(exc), fix)
    for agent_id, found in examined.items():
        if found.problems:
            where = f"{agent_id}.toml: " if len(examined) > 1 else ""
            return CheckResult(_NAME, False, f"{where}{found.problems[0]}", fix)
    told = [_in_one_line(found) for found in examined.values()]
    return CheckResult(_NAME, True, "; ".join(told))


def _in_one_line(found: Examination) -> str:
    parts = [f"{len(found.tools)} tools", f"model {found.models.get('agent', '')}"]
    for title, names in (("skills", found.skills), ("middlewares", found.middlewares)):
        if names:
            parts.append(f"{title} {', '.join(names)}")
    return f"{found.name}: {', '.join(parts)}"


async def examine_agents(settings: Settings, path: Path | None) -> dict[str, Examination]:
    """Make each agent as a worker does, but without servers; returns what was found, by the agent's id.

    Raises:
        ProfileInvalid, PricesInvalid, ToolDefinitionError, AgentCodeInvalid, LifespanInvalid, ValueError: It cannot be
            made at all.
    """
    agents = load_agents(path or settings.profile_path)
    has_model = bool(settings.model.base_url)
    if not has_model:
        # Nothing is sent, so the agent can be looked at all the same.
        settings = settings.model_copy(
            update={"model": settings.model.model_copy(update={"base_url": _NO_ADDRESS})}
        )
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_model_client(settings.model, needed=True))
        fallbacks = await open_fallbacks(agents, settings.model, client, stack)
        kits = build_kits(agents, settings, client, InMemoryMemoryStore(), fallbacks)
        opener = FactoryOpener(stack)
        examined = {
            agent_id: await _examine(kit, opener, agents.where(agent_id))
            for agent_id, kit in kits.kits.items()
        }
    for found in examined.values() if not has_model else ():
        if any(model.endswith(OF_PROFILE) for model in found.models.values()):
            found.warnings.append(_NO_MODEL)
    return examined


async def _examine(kit: AgentKit, opener: FactoryOpener, where: str) -> Examination:
    try:
        return await examine(await opener.open(kit))
    except (AgentCodeInvalid, LifespanInvalid) as exc:
        raise type(exc)(f"{where}{exc}") from exc


_REFUSALS = (
    ProfileInvalid,
    PricesInvalid,
    ToolDefinitionError,
    AgentCodeInvalid,
    LifespanInvalid,
    ValueError,
)


def _unusable(line: str) -> Examination:
    return Examination(name="", description="", factory=None, kind="", problems=[line])


def _print(found: Examination, console: Console) -> None:
    if found.kind and found.name:
        console.print(f"[bold]{escape(found.name)}[/]: {escape(found.description)}")
        made = f"made by {found.factory}" if found.factory else found.runner or "of the profile"
        console.print(f"{escape(found.kind)}, {escape(made)}")
    if found.tools:
        table = Table("tool", "permission", "from")
        for tool in found.tools:
            table.add_row(escape(tool.name), escape(tool.permission), tool.of)
        console.print(table)
    for title, rows in (
        ("models", [f"{use}: {name}" for use, name in found.models.items()]),
        ("stages", [f"{stage}: {mode}" for stage, mode in found.stages.items()] if found.models else []),
        ("skills", found.skills),
        ("middlewares", found.middlewares),
        ("knowledge", [found.knowledge] if found.knowledge else []),
    ):
        if rows:
            console.print(f"{title}: {escape(', '.join(rows))}")
    for change in found.changes:
        advice = f" [dim]{escape(change.advice)}[/]" if change.advice else ""
        console.print(f"[cyan]installed:[/] {escape(change.what)}.{advice}", soft_wrap=True)
    for warning in found.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    for problem in found.problems:
        console.print(f"[red]problem:[/] {escape(problem)}", soft_wrap=True)
    if not found.problems:
        console.print("[green]ok:[/] runs can use this agent")
