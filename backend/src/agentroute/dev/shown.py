"""What an API process shows of the agents, in one line: ``python -m agentroute.dev.shown``.

An API process reads the profiles when it starts. It is started again only if this line has changed: a start cuts the
streams of its clients, and most changes are in code that only workers run.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from agentroute.agent_items import list_agents
from agentroute.settings_errors import InvalidSettings, load_settings
from core.agentscope.runtime.profile.agents import load_agents
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.errors import ToolDefinitionError
from core.config import Settings


def shown(settings: Settings) -> str:
    """Return a digest of what an API process shows of the agents, and of what it decides by their profiles.

    Raises:
        ProfileInvalid, ToolDefinitionError: An API process would not start.
    """
    agents = load_agents(settings.profile_path)
    parts = [*map(repr, sorted(agents.profiles.items())), *map(repr, list_agents(agents, settings))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def main(result: Path) -> int:
    """Write the digest into a file; returns 1, with one line on standard error, if there is none."""
    try:
        result.write_text(shown(load_settings()), encoding="utf-8")
    except (ProfileInvalid, ToolDefinitionError, InvalidSettings) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
