"""Refuses a folder whose files would be imported in the place of modules of Python, or of libraries of this service.

The folder of a developer comes first on the path. A file ``email.py`` in it is what every library gets that imports
``email``: no process of the service starts, and none of their errors names the file.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import PathFinder, all_suffixes
from pathlib import Path

from core.errors import ConfigurationError

_DISTRIBUTION = "agentroute"
_NAME_OF_REQUIREMENT = re.compile(r"[\w.-]+")


def refuse_hiding_files(folder: Path) -> None:
    """Refuse a folder that hides a module which the service needs.

    Raises:
        ConfigurationError: It does. The line names the file and says what to do.
    """
    if hiding := next(hiding_files(folder), None):
        raise ConfigurationError(hiding)


def hiding_files(folder: Path) -> Iterator[str]:
    """Say of each file or package of a folder that hides a module of others which one it is, in one line."""
    ours: set[str] | None = None
    for name, path in sorted(_modules(folder).items()):
        if name in sys.stdlib_module_names:
            yield _line(path, name, "of Python's standard library")
        elif _is_installed(name, folder):
            # Only now: to read about all distributions takes a second.
            ours = _names_of_libraries() if ours is None else ours
            if name in ours:
                yield _line(path, name, "of a library that AgentRoute needs")


def _line(path: Path, name: str, whose: str) -> str:
    return f"{path} would be imported in the place of the module {name} {whose}: rename {path.name}"


def _modules(folder: Path) -> dict[str, Path]:
    """Return what Python imports from a folder, by name. A folder without ``__init__.py`` hides nothing."""
    found: dict[str, Path] = {}
    try:
        entries = list(folder.iterdir())
    except OSError:
        return found
    for path in entries:
        name = path.name.partition(".")[0]
        if path.name.removeprefix(name) in all_suffixes() or (path / "__init__.py").is_file():
            found[name] = path
    return found


def _is_installed(name: str, folder: Path) -> bool:
    places = {sysconfig.get_path(place) for place in ("purelib", "platlib")} - {str(folder)}
    return PathFinder.find_spec(name, list(places)) is not None


def _names_of_libraries() -> set[str]:
    """Return the names of all modules that the distribution of this service and those that it requires consist of."""
    names, seen, left = set[str](), set[str](), [_DISTRIBUTION]
    while left:
        title = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if title in seen:
            continue
        seen.add(title)
        try:
            distribution = metadata.distribution(title)
        except metadata.PackageNotFoundError:
            # Of another system, or of an extra.
            continue
        names |= {file.parts[0].partition(".")[0] for file in distribution.files or ()}
        left += [
            found[0] for each in distribution.requires or () if (found := _NAME_OF_REQUIREMENT.match(each))
        ]
    return names
