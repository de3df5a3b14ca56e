"""Writes a list of parts (SBOM, CycloneDX 1.6) for each lock file: ``sbom.py FOLDER``. Needs no network.

The lists follow from the locks alone: the same locks give the same files.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import locked
import lockfiles


def list_of(lock: Path) -> dict[str, Any]:
    """Return the list of a lock: every package with its version and the hash of each file of it."""
    place = lock.relative_to(locked.ROOT).as_posix()
    version = tomllib.loads(lockfiles.PYPROJECT.read_text())["project"]["version"]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": place,
                "name": "agentroute",
                "version": version,
                "description": f"What {place} installs",
            }
        },
        "components": [
            {
                "type": "library",
                "bom-ref": package.url,
                "name": package.name,
                "version": package.version,
                "purl": package.url,
                "hashes": [{"alg": algorithm, "content": digest} for algorithm, digest in package.hashes],
            }
            for package in locked.packages(lock)
        ],
    }


def write_all(folder: Path) -> list[Path]:
    """Write the list of every lock; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for lock in locked.locks():
        name = "-".join(lock.relative_to(locked.ROOT).parts)
        written.append(folder / f"{name}.cdx.json")
        written[-1].write_text(json.dumps(list_of(lock), indent=2) + "\n", encoding="utf-8")
    return written


if __name__ == "__main__":
    files = write_all(Path(sys.argv[1]))
    print(f"{len(files)} lists of parts are in {sys.argv[1]}", file=sys.stderr)
