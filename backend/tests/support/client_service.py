"""The service that clients are tested with: the demo model, an agent with a subagent, and another agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from tests.support.embedded_service import embedded_service

_SUBAGENT = """
[[subagents]]
name = "researcher"
description = "Answers one question."
prompt = "Answer the question."
tools = ["calculate"]
"""


@contextmanager
def client_service(directory: Path) -> Iterator[str]:
    """Run the service in a directory; yields the base URL of its chat API."""
    agents = directory / "agents"
    agents.mkdir()
    bundled = files("core.agentscope.runtime.profile").joinpath("default_profile.toml").read_text()
    (agents / "assistant.toml").write_text("default = true\n" + bundled + _SUBAGENT)
    (agents / "sales.toml").write_text(bundled)
    with embedded_service(directory / "data", {"AGENT_PROFILE_PATH": str(agents)}) as url:
        yield url
