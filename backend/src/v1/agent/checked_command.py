"""Makes a command of a body, after every check that needs nothing but the body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.agentscope.schemas.agent_runtime import RunCommand, RunOptions
from core.config import LimitSettings
from core.errors import InvalidRequest
from core.garbage import no_collections
from core.json_body import canonical_hash
from core.validation import parse
from v1.agent.limits import check_counts, check_message_sizes, check_tools


@dataclass(frozen=True, slots=True)
class CheckedCommand:
    """A command within all limits."""

    command: RunCommand
    request_hash: bytes
    """Tells a repeat from another request with the same key."""


def read_command(
    model: type[RunCommand], body: Any, limits: LimitSettings, *, agent_id: str | None = None
) -> CheckedCommand:
    """Return the command of a parsed body. Pure, so that a thread may do it.

    Args:
        model: What the body is.
        body: As it was parsed.
        limits: Of this deployment.
        agent_id: The agent that the URL of the request names: the command names it from now on.

    A large body takes up to half a second. The patterns of client tools may add 0.2 s, however small the body is.

    Raises:
        LimitExceeded, InvalidRequest: The body is not a valid command, exceeds a limit, or has an option that is not
            allowed.
    """
    check_counts(body, limits)
    # A stock client sends its whole conversation with every run.
    with no_collections():
        command = parse(model, body)
    check_message_sizes(command, limits)
    check_tools(command)
    options = parse(RunOptions, command.forwarded_props, prefix="/forwardedProps")
    if agent_id is not None:
        command = _of_agent(command, options.agent_id, agent_id)
    # Hashed before ids are created: a client that repeats a request without an answer sends the same key and again no
    # ids.
    return CheckedCommand(command, canonical_hash(command.meaning()))


def _of_agent(command: RunCommand, named: str | None, agent_id: str) -> RunCommand:
    """Return a command that names the agent of its URL, as one sent to ``/runs`` would: so both are one request."""
    if named not in (None, agent_id):
        raise InvalidRequest(
            "The URL and the body name different agents.",
            errors=[{"pointer": "/forwardedProps/agentId", "message": "not the agent of the URL"}],
        )
    props = command.forwarded_props | {"agentId": agent_id}
    return command.model_copy(update={"forwarded_props": props})


def has_tools(body: Any) -> bool:
    """Return whether a parsed body brings client tools: the check of a few kilobytes of them may take 0.2 s."""
    return isinstance(body, dict) and bool(body.get("tools"))
