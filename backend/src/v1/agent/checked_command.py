"""Makes a command of a body, after every check that needs nothing but the body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.agentscope.schemas.agent_runtime import RunCommand, RunOptions
from core.config import LimitSettings
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


def read_command(model: type[RunCommand], body: Any, limits: LimitSettings) -> CheckedCommand:
    """Return the command of a parsed body. Pure, so that a thread may do it.

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
    parse(RunOptions, command.forwarded_props, prefix="/forwardedProps")
    # Hashed before ids are created: a client that repeats a request without an answer sends the same key and again no
    # ids.
    return CheckedCommand(command, canonical_hash(command.meaning()))


def has_tools(body: Any) -> bool:
    """Return whether a parsed body brings client tools: the check of a few kilobytes of them may take 0.2 s."""
    return isinstance(body, dict) and bool(body.get("tools"))
