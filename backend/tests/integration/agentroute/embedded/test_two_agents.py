"""``examples/two_agents``: the commands of its README do what it says, on the embedded service."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import pytest
from tests.support.embedded_service import embedded_service
from tests.support.limits import HUNG_SECONDS

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[5] / "examples" / "two_agents"


def commands() -> list[str]:
    """Return the commands for the other terminal."""
    text = (EXAMPLE / "README.md").read_text().replace("\\\n", "")
    script = "\n\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)[1:])
    parts = [part.removeprefix("$ ").partition("\n{…")[0] for part in script.split("\n\n")]
    return [part for part in parts if "curl" in part]


def run(command: str, base: str) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        env={"BASE": base, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=True,
    )
    return done.stdout


def test_the_example_does_what_its_readme_says(tmp_path: Path) -> None:
    with embedded_service(tmp_path / "data", {"AGENT_PROFILE_PATH": str(EXAMPLE / "agents")}) as base:
        listed, sales, support, refused, switched = (run(command, base) for command in commands())

        assert '"id":"sales"' in listed
        assert '"id":"support"' in listed
        assert "TOOL_CALL_RESULT" in sales
        assert "RUN_FINISHED" in support
        assert '"code":"agent-fixed"' in refused
        assert '"status":"queued"' in switched
        history = httpx.get(f"{base}/history", params={"threadId": "offer"}).json()
        assert history["agentId"] == "support"
