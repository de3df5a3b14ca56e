"""What the agent can do, as ``AgentCapabilities`` of AG-UI 1.0.

AG-UI defines the type but no route for it. Information without a field in AG-UI is under ``custom``. The field
``transport.resumable`` is reserved in AG-UI without a meaning, so it is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def agent_capabilities(
    *,
    name: str,
    version: str,
    description: str = "",
    greeting: str | None = None,
    suggestions: Sequence[str] = (),
    tools: Iterable[Mapping[str, Any]] = (),
    subagents: Iterable[Mapping[str, str]] = (),
    max_iterations: int | None = None,
    max_run_seconds: float | None = None,
    max_file_bytes: int | None = None,
    max_speech_seconds: float | None = None,
) -> dict[str, Any]:
    """Build the answer of ``GET /capabilities`` once, at start.

    Args:
        name: The agent's name, from its profile.
        version: The version of this service.
        description: One sentence for people.
        greeting: Text that a chat page may show before the first message.
        suggestions: First messages that a chat page may offer.
        tools: Server-side tools as data: ``name``, ``description``, ``parameters`` (JSON Schema).
        subagents: Child agents as data: ``name``, ``description``.
        max_iterations: Steps an agent may take in one run.
        max_run_seconds: How long a run may take.
        max_file_bytes: Largest file that can be uploaded; ``None`` if files are off.
        max_speech_seconds: Longest recording that ``POST /transcribe`` takes.
    """
    items = [
        {key: tool[key] for key in ("name", "description", "parameters") if key in tool} for tool in tools
    ]
    children = [dict(child) for child in subagents]
    execution: dict[str, Any] = {"codeExecution": False}
    if max_iterations is not None:
        execution["maxIterations"] = max_iterations
    if max_run_seconds is not None:
        execution["maxExecutionTime"] = int(max_run_seconds * 1000)
    identity = {"name": name, "type": "agentroute", "version": version}
    if description:
        identity["description"] = description
    return {
        "identity": identity,
        "transport": {"streaming": True, "websocket": False, "httpBinary": False, "pushNotifications": False},
        "tools": {"supported": True, "items": items, "clientProvided": True},
        "state": {"snapshots": True, "persistentState": True},
        "multiAgent": {"supported": bool(children), "delegation": bool(children), "handoffs": False},
        "reasoning": {"supported": True, "streaming": True, "encrypted": False},
        "execution": execution,
        "humanInTheLoop": {
            "supported": True,
            "approvals": True,
            "interrupts": True,
            "approveWithEdits": True,
        },
        "custom": {
            "resumable": True,
            "cursor": "Last-Event-ID",
            "onBusy": ["reject", "enqueue", "supersede"],
            "onInterrupt": ["refuse", "cancel"],
            "onDisconnect": ["continue", "cancel"],
            "regenerateFrom": True,
            "threads": ["list", "search", "rename", "delete"],
            "subagents": children,
            **({} if greeting is None else {"greeting": greeting}),
            **({"suggestions": list(suggestions)} if suggestions else {}),
            **({} if max_file_bytes is None else {"files": {"maxBytes": max_file_bytes}}),
            **({} if max_speech_seconds is None else {"transcription": {"maxSeconds": max_speech_seconds}}),
        },
    }
