"""Keeps a process from importing at its start what it never uses: half of a worker's start was that.

Libraries import much on behalf of features of theirs that this service does not use. Nothing of a library is changed
here. Two things that every library must be ready for decide what is imported:

- An optional dependency is absent. Taskiq understands FastAPI's dependencies if there is a FastAPI; a worker has none to
  understand. While the library is imported, ``sys.modules`` says that the dependency does not exist.
- A module is imported later. ``import openai`` at the top of a module of AgentScope gives it a stand-in, which becomes
  the real module with its first use. AgentScope's client of OpenAI is not ours, so there is none.

After the start both are over: a tool that imports FastAPI or OpenAI gets the real one. See docs/adr/0028.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_OPTIONAL = {
    "structlog": "rich",  # tracebacks in colour: ours are one line
    "httpx": "pygments",  # its command line
    "redis.asyncio": "opentelemetry.sdk",  # metrics of the client
}
"""Of every process: a library, and the optional dependency that it is imported without."""

_OPTIONAL_OF_WORKERS = {
    "taskiq": "fastapi",
}

_COLLECT_AFTER = (20_000, 20, 20)
"""After so many new objects the collector looks through them, and after so many such looks through older ones, too.

Python's own 700 is one look for a few deltas. While fifty runs began, a tenth of a worker's time was such looks, and what
they found was next to nothing: almost all objects of a run go by their counts.
"""

# Only what is imported as a whole and used in functions alone: `from mcp import ...` needs the real module at once.
_LATER = ("numpy", "openai", "requests")


class _LaterModule(ModuleType):
    """Stands for a module until an attribute of it is used. Safe in threads: the import system's locks are what waits."""

    def __getattr__(self, name: str) -> Any:
        # What Python looks up in every module, such as __file__, is no use of it. __path__ is: a submodule is imported.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        _step_aside(self)
        return getattr(importlib.import_module(self.__name__), name)


def _step_aside(module: ModuleType) -> None:
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


@contextmanager
def lean_imports(*, worker: bool) -> Iterator[None]:
    """Import the modules of a process in this context, once, before any thread starts.

    The collector of cycles rests meanwhile. Modules are no garbage, but looking through them again and again took a
    sixth of the time. Afterwards they are left out of every later collection.

    Args:
        worker: Whether it is a worker: it needs AgentScope, and no FastAPI.
    """
    gc.disable()
    later = [_LaterModule(name) for name in _LATER if name not in sys.modules] if worker else []
    try:
        for library, dependency in (_OPTIONAL | (_OPTIONAL_OF_WORKERS if worker else {})).items():
            _import_without(library, dependency)
        sys.modules.update({module.__name__: module for module in later})
        yield
    finally:
        for module in later:
            _step_aside(module)
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        gc.enable()


def _import_without(library: str, dependency: str) -> None:
    if dependency in sys.modules:
        importlib.import_module(library)
        return
    sys.modules[dependency] = None  # pyright: ignore[reportArgumentType]  # the documented way to say: does not exist
    try:
        importlib.import_module(library)
    finally:
        del sys.modules[dependency]
