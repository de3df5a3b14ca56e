"""Crash points: named places in the code at which a test can kill the process.

``AGENTROUTE_CRASH_POINT=<name>`` ends the process the first time it passes the place, ``<name>:<n>`` the n-th time. The
process ends as after SIGKILL: nothing is flushed, closed or logged. Without the variable, a crash point only tests a
global variable.
"""

from __future__ import annotations

import asyncio
import os

VARIABLE = "AGENTROUTE_CRASH_POINT"
EXIT_CODE = 86

POINTS = frozenset(
    {
        "accept-inserted",
        "accept-committed",
        "accept-hinted",
        "accept-answered",
        "claim-committed",
        "run-started",
        "append-sent",
        "append-committed",
        "published",
        "tool-before",
        "tool-after",
        "checkpoint-saved",
        "end-before-commit",
        "end-committed",
        "reaper-before-commit",
        "reaper-committed",
        "webhook-claimed",
        "webhook-sent",
        "webhook-noted",
        "schedule-planning",
        "schedule-planned",
        "schedule-leased",
        "schedule-accepted",
        "schedule-settled",
    }
)


class _Armed:
    def __init__(self, wish: str) -> None:
        self.name, _, passing = wish.partition(":")
        self.left = int(passing or 1)
        if self.name not in POINTS or self.left < 1:
            # With a wrong name, a test would test nothing.
            raise ValueError(f"{VARIABLE}={wish}: not one of {', '.join(sorted(POINTS))}, with or without :N")

    def pass_by(self, name: str) -> None:
        if name == self.name:
            self.left -= 1
            if self.left == 0:
                os._exit(EXIT_CODE)


_wish = os.environ.get(VARIABLE)
_armed = _Armed(_wish) if _wish else None


def crash_point(name: str) -> None:
    """End the process if this crash point is selected."""
    if _armed is not None:
        _armed.pass_by(name)


def crash_point_soon(name: str) -> None:
    """End the process at the next iteration of the event loop: the current request is sent, but not answered yet."""
    if _armed is not None:
        asyncio.get_running_loop().call_soon(crash_point, name)
