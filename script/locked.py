"""What the lock files of the repository pin, for script/audit: every package with its version and its hashes."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lockfiles

ROOT = lockfiles.ROOT

_LOCK = re.compile(r".*requirements.*\.lock|package-lock\.json")
_NOT_OURS = {"node_modules", ".venv", ".tools", ".agentroute", ".git"}
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=(?P<algorithm>\w+):(?P<digest>[0-9a-f]+)")
_ALGORITHMS = {
    "sha1": "SHA-1",
    "sha256": "SHA-256",
    "sha384": "SHA-384",
    "sha512": "SHA-512",
}
"""As CycloneDX calls them."""


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package."""

    kind: str
    """``pypi`` or ``npm``."""
    name: str
    version: str
    hashes: tuple[tuple[str, str], ...]
    """Algorithm and digest of each file that may be installed."""

    @property
    def url(self) -> str:
        """Its package URL (purl)."""
        return f"pkg:{self.kind}/{self.name.replace('@', '%40')}@{self.version}"


def locks(root: Path = ROOT) -> list[Path]:
    """Return the lock files of Python and npm, not those of installed packages."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        found += [Path(folder, name) for name in files if _LOCK.fullmatch(name)]
    return sorted(found)


def is_npm(lock: Path) -> bool:
    """Return whether npm wrote a lock."""
    return lock.suffix == ".json"


def packages(lock: Path) -> list[Package]:
    """Return what a lock pins, for all systems and versions of Python, each once.

    Raises:
        ValueError: A package has no hash.
    """
    found = list(dict.fromkeys(_of_npm(lock) if is_npm(lock) else _of_python(lock)))
    if bare := [package.url for package in found if not package.hashes]:
        raise ValueError(f"{lock}: no hash of {', '.join(bare)}")
    return found


def _of_python(lock: Path) -> Iterator[Package]:
    # A pin and its hashes are one line with continuations.
    for line in lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if pin := _PIN.match(line):
            hashes = tuple((_ALGORITHMS[found[1]], found[2]) for found in _HASH.finditer(line))
            yield Package("pypi", _normal(pin["name"]), pin["version"], hashes)


def _of_npm(lock: Path) -> Iterator[Package]:
    for place, entry in json.loads(lock.read_text(encoding="utf-8"))["packages"].items():
        _, inside, name = place.rpartition("node_modules/")
        # What is not in node_modules, or a link from there, is ours.
        if inside and not entry.get("link"):
            hashes = tuple(map(_digest, entry.get("integrity", "").split()))
            yield Package("npm", entry.get("name", name), entry["version"], hashes)


def _digest(integrity: str) -> tuple[str, str]:
    """Read a hash as npm writes it: ``sha512-…`` in Base64."""
    algorithm, _, coded = integrity.partition("-")
    return _ALGORITHMS[algorithm], base64.b64decode(coded).hex()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
