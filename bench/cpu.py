"""CPU and memory of the processes under test, by what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import psutil

API, WORKER, POSTGRES, REDIS, MODEL, OTHER = "api", "worker", "postgres", "redis", "model", "other"

_BY_COMMAND: tuple[tuple[str, str], ...] = (
    ("demo_model", MODEL),
    ("fake_model", MODEL),
    ("valkey-server", REDIS),
    ("redis-server", REDIS),
    ("postgres", POSTGRES),
    ("worker", WORKER),
    ("taskiq", WORKER),
    ("uvicorn", API),
    ("api", API),
    ("serve", API),
)
"""A word of the command line and the group it means; the first that fits decides."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Processes at one moment: seconds of CPU by group and process, and resident bytes by group."""

    seconds: Mapping[str, Mapping[int, float]]
    resident_bytes: Mapping[str, int]


def parse_roots(specifications: Sequence[str]) -> dict[int, str | None]:
    """Read ``123`` (classify the whole tree) and ``worker=123,124`` (all of the tree is that group)."""
    roots: dict[int, str | None] = {}
    for specification in specifications:
        label, _, pids = specification.rpartition("=")
        roots.update({int(pid): label or None for pid in pids.split(",")})
    return roots


def read(roots: Mapping[int, str | None]) -> Reading:
    """Read the roots and all their descendants. Ticks are 10 ms: measure for seconds, not moments."""
    seconds: dict[str, dict[int, float]] = {}
    resident: dict[str, int] = {}
    for root, label in roots.items():
        for process, group in _tree(root, label):
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue
            # A process may be below two roots; the first one counts it.
            if any(process.pid in pids for pids in seconds.values()):
                continue
            seconds.setdefault(group, {})[process.pid] = times.user + times.system
            resident[group] = resident.get(group, 0) + memory
    return Reading(seconds, resident)


def used(before: Reading, after: Reading) -> dict[str, float]:
    """Return seconds of CPU between two readings, by group; a process that is new counts whole."""
    return {
        group: sum(value - before.seconds.get(group, {}).get(pid, 0.0) for pid, value in pids.items())
        for group, pids in after.seconds.items()
    }


def _tree(root: int, label: str | None) -> list[tuple[psutil.Process, str]]:
    try:
        top = psutil.Process(root)
        processes = [top, *top.children(recursive=True)]
    except psutil.Error:
        return []
    return [(process, label or classify(process)) for process in processes]


def classify(process: psutil.Process) -> str:
    """Guess what a process is; a backend of Postgres has no command line of its own but a parent that has."""
    try:
        # Names only: a directory may be called anything.
        words = [process.name(), *(PurePath(argument).name for argument in process.cmdline())]
    except psutil.Error:
        return OTHER
    command = " ".join(words)
    return next((group for word, group in _BY_COMMAND if word in command), OTHER)
