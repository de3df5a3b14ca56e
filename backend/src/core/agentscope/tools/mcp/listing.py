"""What an MCP server says it offers, made fit for a model: names, descriptions and schemas within limits.

A tool that cannot be offered is left out, and the log says why; the server's other tools are not affected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.agentscope.tools.mcp.names import offered_name
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.results import without_secrets
from core.agentscope.tools.result_text import fit_text
from core.agentscope.tools.spec import Permission
from core.schema_flattening import FlatBudget, flattened
from core.schema_patterns import PatternBudget
from core.schema_problems import schema_problems
from core.text import clean_json, clean_text

MAX_TOOLS = 128
"""Of one server. Providers take about as many tools in all."""
MAX_DESCRIPTION_BYTES = 4096
MAX_SCHEMAS_BYTES = 256 << 10
"""Of all schemas of a server, once their references are replaced."""


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as its server describes it. Hints that it gives about itself (``readOnlyHint``) are not believed."""

    name: str
    description: str
    schema: Any


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as the model gets it."""

    name: str
    listed_name: str
    """What the server calls it."""
    description: str
    schema: dict[str, Any]
    permission: Permission


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of one server that the agent has, and one line for everything that was left out."""

    tools: tuple[OfferedTool, ...]
    problems: tuple[str, ...]


def masked(tools: Iterable[ListedTool], secrets: Sequence[str]) -> tuple[ListedTool, ...]:
    """Return the tools without secrets that the server repeats in what it says about them.

    A tool whose name holds one is left out: under another name it could not be called.
    """
    return tuple(
        ListedTool(
            tool.name, without_secrets(tool.description, secrets), _masked_schema(tool.schema, secrets)
        )
        for tool in tools
        if without_secrets(tool.name, secrets) == tool.name
    )


def _masked_schema(schema: Any, secrets: Sequence[str]) -> Any:
    match schema:
        case str():
            return without_secrets(schema, secrets)
        case dict():
            return {key: _masked_schema(value, secrets) for key, value in schema.items()}
        case list():
            return [_masked_schema(item, secrets) for item in schema]
        case _:
            return schema


def offer(policy: McpPolicy, listed: Iterable[ListedTool]) -> Offer:
    """Choose and clean the tools of a server; the order is the server's."""
    tools: dict[str, OfferedTool] = {}
    problems: list[str] = []
    flat, patterns = FlatBudget(MAX_SCHEMAS_BYTES), PatternBudget()
    listed = list(listed)
    chosen = [tool for tool in listed if policy.offers(tool.name)]
    if len(chosen) > MAX_TOOLS:
        problems.append(f"{len(chosen) - MAX_TOOLS} tools more than {MAX_TOOLS} are left out; set allow")
    for tool in chosen[:MAX_TOOLS]:
        name = offered_name(policy.server, tool.name, policy.reserved)
        if name in tools:
            problems.append(f"{name} is listed twice")
        elif problem := _problem(tool, flat, patterns):
            problems.append(f"{name} is left out: its schema {problem}")
        else:
            tools[name] = OfferedTool(
                name=name,
                listed_name=tool.name,
                description=_description(tool),
                schema={"properties": {}} | flattened(clean_json(tool.schema)) | {"type": "object"},
                permission=policy.permission_of(tool.name),
            )
    problems += [f"no tool fits {pattern!r}" for pattern in policy.unused([tool.name for tool in listed])]
    return Offer(tuple(tools.values()), tuple(clean_text(problem) for problem in problems))


def _problem(tool: ListedTool, flat: FlatBudget, patterns: PatternBudget) -> str:
    if not isinstance(tool.schema, dict):
        return "is no object"
    found = schema_problems(tool.schema, flat, patterns)
    return " ".join(filter(None, (found[0].pointer, found[0].message))) if found else ""


def _description(tool: ListedTool) -> str:
    # A provider refuses a tool without a description.
    return fit_text(tool.description.strip() or tool.name, MAX_DESCRIPTION_BYTES) or "A tool."
