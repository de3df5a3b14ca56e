"""What ``agentroute init`` says."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from agentroute.starter.new_project import write_project


def run_init(target: Path, name: str | None, say: Callable[[str], object]) -> int:
    """Write a new agent and say what to do next; returns the exit code.

    Raises:
        ConfigurationError: As :func:`write_project`.
    """
    for path in write_project(target, name):
        say(f"  {path}")
    steps = (
        ["agentroute dev"]
        if target.resolve() == Path.cwd()
        else [f"cd {shlex.quote(str(target))}", "agentroute dev"]
    )
    say(f"Next: {' && '.join(steps)}")
    return 0
