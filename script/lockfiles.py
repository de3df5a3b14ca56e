"""The relation between pyproject.toml and the lock files, for script/lock and script/hygiene.py.

A lock file opens with a fingerprint of the dependencies it was resolved from,
so that a stale one is noticed without a network. The constraints written into
pyproject.toml make a plain ``uv run`` resolve the same versions as the locks.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "backend" / "pyproject.toml"
LOCKS = (ROOT / "backend" / "requirements.lock", ROOT / "backend" / "requirements-dev.lock")

BEGIN = "    # script/lock writes from here ...\n"
END = "    # ... to here\n"
_BLOCK = re.compile(re.escape(BEGIN) + "(.*?)" + re.escape(END), re.DOTALL)
_FINGERPRINT = "# dependencies: sha256:"
_PIN = re.compile(r"^[A-Za-z0-9][^\s\\]*==[^\\\n]*", re.MULTILINE)


def fingerprint() -> str:
    """Digest everything in pyproject.toml that decides which versions are chosen."""
    document = tomllib.loads(PYPROJECT.read_text())
    project = document["project"]
    inputs = [
        project["requires-python"],
        project["dependencies"],
        project.get("optional-dependencies", {}),
        document["dependency-groups"],
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def pins() -> list[str]:
    """Every ``name==version ; marker`` of the lock files, sorted, once each."""
    return sorted({match.strip() for lock in LOCKS for match in _PIN.findall(lock.read_text())})


def stale_reasons() -> list[str]:
    """Say why the lock files do not belong to pyproject.toml; empty when they do."""
    reasons: list[str] = []
    expected = f"{_FINGERPRINT}{fingerprint()}"
    for lock in LOCKS:
        name = lock.relative_to(ROOT)
        if not lock.exists():
            reasons.append(f"{name} is missing: run script/lock")
        elif expected not in lock.read_text().splitlines()[:3]:
            reasons.append(f"{name} does not match the dependencies in pyproject.toml: run script/lock")
    if not reasons and _constraints() != pins():
        reasons.append(
            "the constraints in backend/pyproject.toml are not those of the locks: run script/lock"
        )
    return reasons


def _constraints() -> list[str]:
    return (
        tomllib.loads(PYPROJECT.read_text()).get("tool", {}).get("uv", {}).get("constraint-dependencies", [])
    )


def strip(target: Path) -> None:
    """Copy pyproject.toml without the constraints: the last result must not bind the next."""
    target.write_text(_BLOCK.sub("", PYPROJECT.read_text()))


def write() -> None:
    """Stamp the lock files and write their pins into pyproject.toml."""
    stamp = f"{_FINGERPRINT}{fingerprint()}\n"
    for lock in LOCKS:
        lines = lock.read_text().splitlines(keepends=True)
        lock.write_text(stamp + "".join(line for line in lines if not line.startswith(_FINGERPRINT)))
    block = BEGIN + "".join(f"    {json.dumps(pin)},\n" for pin in pins()) + END
    text, replaced = _BLOCK.subn(lambda _: block, PYPROJECT.read_text())
    if not replaced:
        sys.exit(f"error: {PYPROJECT} has no lines {BEGIN.strip()!r} and {END.strip()!r}")
    PYPROJECT.write_text(text)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["strip", target]:
            strip(Path(target))
        case ["write"]:
            write()
        case _:
            sys.exit("usage: lockfiles.py strip FILE | write")
