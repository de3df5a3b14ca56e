"""Lists the tools of a user's module from a child process.

The API process shows tools and never calls one. What their modules import (AgentScope: seconds and 110 MiB), open and
break stays out of it. See docs/adr/0040.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NoReturn

from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.foreign_tools import ForeignTool
from core.agentscope.tools.imported_tools import load_tools
from core.agentscope.tools.spec import Tool
from core.agentscope.tools.user_module import failure_line
from core.config import ToolSettings

LIST_SECONDS = 120.0
"""For the import of a user's module, on a slow machine and with all that it imports."""
_PROGRAM = "from core.agentscope.tools.tool_listing import main; main()"


def lister(references: Iterable[str]) -> Callable[[str, ToolSettings], list[Tool]]:
    """Return what lists the tools behind each of the references, all imported by one child process, if there are any.

    It returns and raises what ``load_tools`` does. The tools cannot be called.
    """
    wanted = tuple(dict.fromkeys(references))

    def list_tools(reference: str, settings: ToolSettings) -> list[Tool]:
        answer = _listed(wanted, tuple(sys.path))[reference]
        if "error" in answer:
            raise ToolDefinitionError(answer["error"])
        return [_tool(each).within(settings) for each in answer["tools"]]

    return list_tools


@cache
def _listed(references: tuple[str, ...], path: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the answer for each of the references. One that ends or keeps the process is the error of all behind it."""
    try:
        done = subprocess.run(  # noqa: S603  the interpreter of this process
            # -P: the current folder is not searched, unless this process searches it.
            [sys.executable, "-P", "-c", _PROGRAM, *references],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(each for each in path if each)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=LIST_SECONDS,
            check=False,
        )
        written = done.stdout
        problem = f"the import of its module ended the process with exit code {done.returncode}"
    except subprocess.TimeoutExpired as exc:
        written = exc.stdout or b""
        problem = f"not imported after {LIST_SECONDS:g} seconds; do slow work in the tools"
    # One line for each reference, in their order, each written before the next module is imported.
    answers = [json.loads(line) for line in written.splitlines()]
    missing = references[len(answers) :]
    answers += [{"error": f"{missing[0]}: {problem}"} for _ in missing]
    return dict(zip(references, answers, strict=True))


def _tool(described: dict[str, Any]) -> Tool:
    common: dict[str, Any] = {
        "name": described["name"],
        "description": described["description"],
        "schema": described["schema"],
        "permission": described["permission"],
        "handler": _not_here,
    }
    if not described["foreign"]:
        return Tool(**common)
    return ForeignTool(original=None, stated=described["stated"], **common)


def _not_here(_arguments: Any, _context: Any) -> NoReturn:
    raise RuntimeError("a tool that is only listed was called")


def main() -> None:
    """Describe the tools of each reference in the arguments, as a line on standard output: in the child process."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What a user's module prints is no part of the answer.
    os.dup2(2, 1)
    for reference in sys.argv[1:]:
        try:
            answer = json.dumps({"tools": [_described(each) for each in load_tools(reference)]})
        except ToolDefinitionError as exc:
            answer = json.dumps({"error": str(exc)})
        except Exception as exc:  # noqa: BLE001  a tool cannot describe itself: its schema is no JSON
            answer = json.dumps({"error": failure_line(reference, exc)})
        out.write(answer + "\n")
        out.flush()
    sys.stdout.flush()
    # Threads that a module started do not keep the process.
    os._exit(0)


def _described(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "schema": tool.json_schema(),
        "permission": tool.permission,
        "foreign": isinstance(tool, ForeignTool),
        "stated": tool.stated if isinstance(tool, ForeignTool) else None,
    }
