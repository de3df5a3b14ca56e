"""Asks which locked packages have known vulnerabilities, for script/audit: ``advisories.py PIP_AUDIT [pypi|osv]``.

Exits with 0 if everything was looked up and nothing is known, 1 if something is known, 2 if something could not be
looked up. A package that a database does not know counts as not looked up: a mirror without advisories answers like one
that has none.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import locked

_SECONDS = 600
"""Of one question. A database that is slower than that counts as away."""


@dataclass(slots=True)
class Found:
    """What is known of the packages of a lock."""

    known: list[str] = field(default_factory=list)
    """Vulnerabilities, a line each."""
    unasked: list[str] = field(default_factory=list)
    """What could not be looked up, and why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said."""

    code: int
    out: str
    err: str = ""


Ask = Callable[[Sequence[str], Path], Answer]
"""Runs a command in a folder."""


def ask(command: Sequence[str], folder: Path) -> Answer:
    """Run a program. One that does not end, or is not there, has failed."""
    try:
        return asyncio.run(_asked(command, folder))
    except TimeoutError:
        return Answer(1, "", f"no answer within {_SECONDS} seconds")
    except OSError as exc:
        return Answer(1, "", f"{command[0]} cannot be run: {exc.strerror}")


async def _asked(command: Sequence[str], folder: Path) -> Answer:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Answer(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


def rounds(packages: Sequence[locked.Package]) -> list[list[locked.Package]]:
    """Divide packages so that no name is in a part twice: pip-audit takes one version of each."""
    seen: Counter[str] = Counter()
    parts: defaultdict[int, list[locked.Package]] = defaultdict(list)
    for package in packages:
        parts[seen[package.name]].append(package)
        seen[package.name] += 1
    return list(parts.values())


def judge_python(answer: Answer, asked: Sequence[locked.Package]) -> Found:
    """Read what pip-audit said of some packages."""
    try:
        entries: list[dict[str, Any]] = [*json.loads(answer.out)["dependencies"]]
    except (ValueError, KeyError, TypeError):
        return Found(unasked=[f"{len(asked)} packages: {_last_line(answer.err)}"])
    found = Found()
    told = {entry["name"] for entry in entries if "skip_reason" not in entry}
    for entry in entries:
        for each in entry.get("vulns", []):
            better = ", ".join(each["fix_versions"]) or "none yet"
            found.known.append(f"{entry['name']} {entry['version']}: {each['id']}, fixed in {better}")
    if missing := sorted(package.name for package in asked if package.name not in told):
        found.unasked.append(f"{len(missing)} packages that the database does not know: {_some(missing)}")
    return found


def judge_npm(answer: Answer) -> Found:
    """Read what ``npm audit`` said of a lock."""
    try:
        told: dict[str, Any] = json.loads(answer.out)
        entries: dict[str, Any] = {**told["vulnerabilities"]}
    except (ValueError, KeyError, TypeError):
        return Found(unasked=[_last_line(_message(answer.out) or answer.err)])
    lines = [f"{name} {entry['range']}: {entry['severity']}" for name, entry in sorted(entries.items())]
    return Found(known=lines)


def look(lock: Path, pip_audit: str, service: str, ask: Ask = ask) -> Found:
    """Return what is known of the packages of a lock."""
    if locked.is_npm(lock):
        return judge_npm(ask(["npm", "audit", "--package-lock-only", "--json"], lock.parent))
    found = Found()
    for part in rounds(locked.packages(lock)):
        with tempfile.TemporaryDirectory() as folder:
            # Without the markers: what another system installs counts as well.
            pins = "".join(f"{each.name}=={each.version}\n" for each in part)
            (Path(folder) / "pins.txt").write_text(pins, encoding="utf-8")
            options = [
                "--no-deps",
                "--disable-pip",
                "--format=json",
                "--progress-spinner=off",
                "--desc=off",
            ]
            command = [pip_audit, "-r", "pins.txt", "-s", service, *options]
            told = judge_python(ask(command, Path(folder)), part)
        found.known += told.known
        found.unasked += told.unasked
    return found


def report(results: dict[str, Found], say: Callable[[str], object] = print) -> int:
    """Say what was found, lock by lock; returns the exit code."""
    for name, found in results.items():
        say(name if found.known or found.unasked else f"{name}: nothing is known")
        for line in found.known:
            say(f"  VULNERABLE  {line}")
        for line in found.unasked:
            say(f"  NOT LOOKED UP  {line}")
    known = sum(len(found.known) for found in results.values())
    whole = sum(not found.unasked for found in results.values())
    say(f"{known} known vulnerabilities; {whole} of {len(results)} locks were looked up as a whole")
    if whole < len(results):
        say(
            "error: what was not looked up may be vulnerable. The databases of advisories have to be reached from here: "
            + "pypi.org or api.osv.dev (--service osv), and npm's registry. A mirror of packages alone does not do."
        )
    if known:
        return 1
    return 0 if whole == len(results) else 2


def _last_line(text: str) -> str:
    return next(
        (line.strip() for line in reversed(text.splitlines()) if line.strip()),
        "no answer",
    )[:300]


def _message(out: str) -> str:
    try:
        told = json.loads(out)
        return str(told.get("message") or told["error"]["summary"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


if __name__ == "__main__":
    program, database = sys.argv[1:]
    looked: dict[str, Found] = {}
    for file in locked.locks():
        place = file.relative_to(locked.ROOT).as_posix()
        print(f"Looking up {place} ...", file=sys.stderr)
        looked[place] = look(file, program, database)
    sys.exit(report(looked))
