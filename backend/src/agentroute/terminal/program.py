"""Runs a program of the terminal, and turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TextIO

from agentroute.client import AgentRouteError, Unauthenticated
from agentroute.terminal.harmless import harmless
from agentroute.terminal.service import TOKEN_VARIABLE, TerminalError

_INTERRUPTED = 130
"""128 and the number of the signal, as a shell has it."""


def run_program(program: Callable[[], int]) -> int:
    """Run a program; returns its exit code, 1 after an error, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        _never_fails(stream)
    try:
        return program()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left. What Python flushes at its end must not fail, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Unauthenticated as exc:
        told = f"{exc.message} Set {TOKEN_VARIABLE}, or name a file with --token-file."
    except (AgentRouteError, TerminalError) as exc:
        told = str(exc)
    print(f"error: {harmless(told)}", file=sys.stderr)
    return 1


def _never_fails(stream: TextIO) -> None:
    """Let a terminal that cannot show a character show another one."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
