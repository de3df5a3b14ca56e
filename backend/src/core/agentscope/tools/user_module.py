"""Imports a module that the operator names, and says in one line where it fails."""

from __future__ import annotations

import importlib
import sysconfig
import traceback
from types import ModuleType

from core.agentscope.tools.errors import ToolDefinitionError

_LIBRARY_FOLDERS = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def import_user_module(reference: str, module_name: str) -> ModuleType:
    """Import a module; this runs its code.

    Args:
        reference: What the operator wrote. The error begins with it.
        module_name: Dotted name of the module.

    Raises:
        ToolDefinitionError: There is no such module, or its code fails. The message has file, line and reason.
    """
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (module_name + ".").startswith(exc.name + "."):
            raise ToolDefinitionError(
                f"{reference}: cannot import {module_name}: no module is named {exc.name}. "
                + f"Put the folder that holds {module_name.partition('.')[0]} on PYTHONPATH, or correct the name"
            ) from exc
        raise ToolDefinitionError(_failure(reference, exc)) from exc
    except (Exception, SystemExit) as exc:
        # Any error: the code is the user's. SystemExit: a script without `if __name__ == "__main__"` may exit.
        raise ToolDefinitionError(_failure(reference, exc)) from exc


def _failure(reference: str, error: BaseException) -> str:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{reference}: {error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    place = _place(error)
    return f"{reference}: {place}: {reason}" if place else f"{reference}: {reason}"


def _place(error: BaseException) -> str:
    """Return ``file:line`` of the user's innermost line; a library's own line helps nobody."""
    frames = [
        frame
        # The first frames are this module and the import system.
        for frame in traceback.extract_tb(error.__traceback__)[1:]
        if not frame.filename.startswith("<frozen importlib")
    ]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARY_FOLDERS)]
    innermost = (own or frames)[-1:]
    return f"{innermost[0].filename}:{innermost[0].lineno}" if innermost else ""
