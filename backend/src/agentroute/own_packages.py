"""Keeps the packages of this service importable beside a user's folders of the same names.

The service consists of the top-level packages ``agentroute``, ``core``, ``models`` and ``v1``. A user puts the folder
of their tools on ``PYTHONPATH``, and that folder may hold a ``core`` or a ``models``, too. Python would import those
instead, because ``PYTHONPATH`` comes before installed packages. So the names are looked up in this service first, and
``shadowed_packages`` names what can no longer be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

OWN_PACKAGES = ("agentroute", "core", "models", "v1")
_HOME = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class ShadowedPackage:
    """A folder or file of a user with the name of a package of this service."""

    name: str
    path: Path

    @property
    def line(self) -> str:
        """What is wrong and what to do, in one line."""
        return (
            f"{self.path} has the name of a package of AgentRoute, so your tools cannot import it: "
            f"rename {self.path.name}"
        )


class OwnPackageFinder:
    """Finds the packages of this service before ``sys.path`` is searched. A finder of ``sys.meta_path``."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a package of this service is; None for all other names."""
        if path is not None or name not in OWN_PACKAGES:
            return None
        return PathFinder.find_spec(name, [str(_HOME)], target)


def prefer_own_packages() -> None:
    """Make this process import the packages of this service, whatever ``PYTHONPATH`` holds. May be called again."""
    if OwnPackageFinder not in sys.meta_path:
        sys.meta_path.insert(0, OwnPackageFinder)


def shadowed_packages(folders: Sequence[str] | None = None) -> list[ShadowedPackage]:
    """List what has the name of a package of this service and can therefore not be imported.

    Args:
        folders: Folders that Python searches. If absent, ``sys.path``.
    """
    found: list[ShadowedPackage] = []
    for folder in dict.fromkeys(
        Path(each or ".").resolve() for each in (sys.path if folders is None else folders)
    ):
        if folder == _HOME:
            continue
        for name in OWN_PACKAGES:
            package, module = folder / name, folder / f"{name}.py"
            if package.is_dir() and any(package.glob("*.py")):
                found.append(ShadowedPackage(name, package))
            elif module.is_file():
                found.append(ShadowedPackage(name, module))
    return found
