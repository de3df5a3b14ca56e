"""Imports a module that the operator names, and says in one line where it fails."""

from __future__ import annotations

import importlib
import re
import sysconfig
import traceback
from functools import reduce
from types import ModuleType
from typing import Any

from core.agentscope.tools.errors import ToolDefinitionError

_LIBRARY_FOLDERS = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def import_attribute(reference: str) -> tuple[ModuleType, Any]:
    """Import ``package.module:attribute``; returns the module and the attribute.

    Runs the module's code: references come from the operator's configuration, never from a request.

    Raises:
        ToolDefinitionError: There is no such module or attribute, or the module has a bug.
    """
    if not _REFERENCE.fullmatch(reference):
        raise ToolDefinitionError(f"{reference!r} is not of the form package.module:attribute")
    module_name, _, attribute = reference.partition(":")
    module = import_user_module(reference, module_name)
    try:
        return module, reduce(getattr, attribute.split("."), module)
    except AttributeError as exc:
        raise ToolDefinitionError(f"{reference}: {module_name} has no {attribute}") from exc


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
        raise ToolDefinitionError(failure_line(reference, exc)) from exc
    except (Exception, SystemExit) as exc:
        # Any error: the code is the user's. SystemExit: a script without `if __name__ == "__main__"` may exit.
        raise ToolDefinitionError(failure_line(reference, exc)) from exc


def failure_line(reference: str, error: BaseException) -> str:
    """Return one line: where the user's code failed, and why."""
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{reference}: {error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    place = _place(error)
    return f"{reference}: {place}: {reason}" if place else f"{reference}: {reason}"


def _place(error: BaseException) -> str:
    """Return ``file:line`` of the user's innermost line; a library's own line helps nobody."""
    frames = [
        frame
        # The first frames are this module and the import system. Other frozen modules are of the library, such as os.
        for frame in traceback.extract_tb(error.__traceback__)[1:]
        if not frame.filename.startswith("<frozen ")
    ]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARY_FOLDERS)]
    innermost = (own or frames)[-1:]
    return f"{innermost[0].filename}:{innermost[0].lineno}" if innermost else ""
