"""What a service for so many users needs, computed from what one box was measured to cost.

    uv run --project backend python bench/capacity_figures.py    # on a quiet machine: measures, and writes capacity.json
    uv run --project backend python bench/capacity.py            # prints the tables of docs/how-to/capacity.md

A simulation of the busiest ten minutes of a day, with the assumptions that are printed with it. Its dice are seeded: the
same figures give the same tables.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FIGURES = Path(__file__).with_name("capacity.json")
PARTS = ("worker", "api", "postgres", "redis")
USERS = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on one box."""

    measured: str
    """When, and on what."""
    run_ms: Mapping[str, float]
    """CPU milliseconds of a run without its words, by part."""
    word_ms: Mapping[str, float]
    """CPU milliseconds of a word, by part."""
    read_ms: Mapping[str, float]
    """CPU milliseconds of a read: a page of history, or a list of threads."""
    api_mib: float
    """Memory of an API process after the load."""
    worker_mib: float

    @classmethod
    def load(cls, path: Path = FIGURES) -> Figures:
        return cls(**json.loads(path.read_text()))


# Of bench/README.md, which says how each was measured.
STREAM_KIB = 6.4
"""Memory of a stream at rest in the API process."""
STREAM_CORES = 0.0117 / 2000
"""CPU of a stream at rest, all parts."""
RUN_BYTES = 16e9 / 1e6
"""On disk: 16 GB for a million runs with 50 million events."""
RUN_EVENTS = 50
"""Events of each of those runs."""
COMMITTED_EVENTS = 35_000
"""Events a second that one Postgres commits (two shared cores, group commit)."""
API_CONNECTIONS, WORKER_CONNECTIONS = 11, 12
"""Connections to Postgres of a process (docs/configuration.md)."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What nobody measured: how people behave. Change them, and run this again."""

    active_share: float = 0.20
    """Of all users, those who write on a day."""
    runs_a_day: float = 10
    """Of an active user."""
    busiest_hour: float = 0.12
    """Part of a day's runs in its busiest hour."""
    first_word_seconds: float = 1.0
    """Until the model begins: the median; a tenth takes more than twice as long."""
    words: float = 250
    """Of an answer: the median; a tenth has more than three times as many."""
    words_a_second: float = 50
    tool_share: float = 0.3
    """Runs with a tool call: a second model call, and a wait of two seconds."""
    reads_a_run: float = 4
    """Pages of history and lists of threads that are read around a run."""
    open_seconds: float = 600
    """How long a page stays open after a run, with a stream at rest."""
    retention_days: int = 7
    """Of events (AGENT_WORKER__EVENT_RETENTION_DAYS)."""
    run_slots: int = 50
    """Runs of a worker process at once (AGENT_WORKER__CONCURRENCY)."""
    streams_a_process: int = 5_000
    """Open streams of an API process: half of AGENT_SERVER__MAX_CONNECTIONS."""
    fullest: float = 0.6
    """How much of a core a process may use in the busiest minute. What is left is for crashes, deploys and bursts."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a service of a size needs."""

    users: int
    runs_a_second: float
    live_runs: int
    """The most at once."""
    streams: int
    cores: Mapping[str, float]
    """In the busiest minute, by part."""
    events_a_second: float
    apis: int
    workers: int
    wait_ms: float
    """In the queue, the 99th percentile, with so many workers."""
    wait_one_lost_ms: float
    """The same while one worker of them is away."""
    connections: int
    disk_gb: float
    """Events of the retention, and everything else of 30 days."""
    memory_gib: float
    """Of API processes and workers."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the simulation."""

    at: float
    """Seconds since the beginning."""
    idle: float
    """Seconds in which it waits for a model or a tool, and holds a place of a worker."""
    words: int


def draw_runs(assumed: Assumptions, rate: float, seconds: float, dice: random.Random) -> list[Run]:
    """Draw the runs of a time: arrivals at random, lengths with long tails."""
    runs: list[Run] = []
    at = dice.expovariate(rate)
    while at < seconds:
        idle = assumed.first_word_seconds * math.exp(dice.gauss(0.0, 0.55))
        if dice.random() < assumed.tool_share:
            idle += 2.0 + assumed.first_word_seconds * math.exp(dice.gauss(0.0, 0.55))
        words = max(1, round(assumed.words * math.exp(dice.gauss(0.0, 0.86))))
        runs.append(Run(at, idle, min(words, 8000)))
        at += dice.expovariate(rate)
    return runs


def simulate(users: int, assumed: Assumptions, figures: Figures) -> Need:
    """Simulate the busiest ten minutes, and count what they need."""
    seconds = 600.0
    rate = users * assumed.active_share * assumed.runs_a_day * assumed.busiest_hour / 3600
    # Small services are random: several times ten minutes, of which the worst minute counts.
    repeats = max(1, min(20, round(2000 / (rate * seconds))))
    days = [
        draw_runs(assumed, rate, seconds, random.Random(f"{users}-{number}")) for number in range(repeats)
    ]
    cores = {part: max(_busiest_minute(day, part, assumed, figures) for day in days) for part in PARTS}
    live = max(_most_at_once(day, assumed) for day in days)
    streams = round(rate * assumed.open_seconds + live)
    cores["api"] += streams * STREAM_CORES
    workers = max(2, math.ceil(cores["worker"] / assumed.fullest), math.ceil(live / assumed.run_slots) + 1)
    apis = max(2, math.ceil(cores["api"] / assumed.fullest), math.ceil(streams / assumed.streams_a_process))
    words = statistics.fmean(run.words for day in days for run in day)
    runs_a_day = users * assumed.active_share * assumed.runs_a_day
    # A word is an event at most: words that come together are one.
    events = min(words, assumed.words * 4)
    event_bytes = RUN_BYTES / RUN_EVENTS
    disk = runs_a_day * event_bytes * (events * assumed.retention_days + RUN_EVENTS * 30)
    memory = (
        apis * figures.api_mib / 1024 + workers * figures.worker_mib / 1024 + streams * STREAM_KIB / 2**20
    )
    return Need(
        users=users,
        runs_a_second=rate,
        live_runs=live,
        streams=streams,
        cores=cores,
        events_a_second=rate * words,
        apis=apis,
        workers=workers,
        wait_ms=_wait_ms(days, workers, assumed),
        wait_one_lost_ms=_wait_ms(days, workers - 1, assumed),
        connections=apis * API_CONNECTIONS + workers * WORKER_CONNECTIONS,
        disk_gb=disk / 1e9,
        memory_gib=memory,
    )


def _end(run: Run, began: float, assumed: Assumptions) -> float:
    return began + run.idle + run.words / assumed.words_a_second


def _busiest_minute(runs: Sequence[Run], part: str, assumed: Assumptions, figures: Figures) -> float:
    """Return the cores that a part uses in its busiest minute. The first minute fills up, and does not count."""
    minutes = [0.0] * 11
    for run in runs:
        reads = assumed.reads_a_run * figures.read_ms[part]
        begin, end = run.at + run.idle, _end(run, run.at, assumed)
        minutes[min(int(run.at // 60), 10)] += figures.run_ms[part] + reads
        writing = figures.word_ms[part] * run.words
        for minute in range(int(begin // 60), min(int(end // 60), 10) + 1):
            overlap = min(end, (minute + 1) * 60) - max(begin, minute * 60)
            if minute <= 10:
                minutes[minute] += writing * overlap / max(end - begin, 1e-9)
    return max(minutes[1:10]) / 60_000


def _most_at_once(runs: Sequence[Run], assumed: Assumptions) -> int:
    steps = sorted([(run.at, 1) for run in runs] + [(_end(run, run.at, assumed), -1) for run in runs])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def _wait_ms(days: Sequence[Sequence[Run]], workers: int, assumed: Assumptions) -> float:
    """Return the 99th percentile of the waits for a place of a worker, first come, first served."""
    waits: list[float] = []
    for runs in days:
        free = [0.0] * (workers * assumed.run_slots)
        for run in runs:
            began = max(run.at, free[0])
            heapq.heapreplace(free, _end(run, began, assumed))
            waits.append(began - run.at)
    waits.sort()
    return 1000 * waits[int(0.99 * (len(waits) - 1))]


def tables(figures: Figures, assumed: Assumptions) -> str:
    """Return what the page shows."""
    needs = [simulate(users, assumed, figures) for users in USERS]
    return "\n".join(
        [
            *_measured_table(figures),
            "",
            *_assumed_table(assumed),
            "",
            *_needs_table(needs),
            "",
            _one_box(needs, assumed),
        ]
    )


def _one_box(needs: Sequence[Need], assumed: Assumptions) -> str:
    """Say what a box of two cores carries, with everything on it."""
    large = needs[-1]
    part = 2 * assumed.fullest / sum(large.cores.values())
    return (
        f"A box of two cores with everything on it, at {assumed.fullest:.0%}: about {_two_digits(large.users * part):,} "
        f"users, {large.runs_a_second * part:.1f} runs a second, {_two_digits(large.live_runs * part):,} live runs."
    )


def _two_digits(number: float) -> int:
    size = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.floor(number / size) * size


def _measured_table(figures: Figures) -> list[str]:
    rows = {
        "a run, without its words": figures.run_ms,
        "100 words": {part: 100 * ms for part, ms in figures.word_ms.items()},
        "a page of history, or a list of threads": figures.read_ms,
    }
    return [
        f"Measured: {figures.measured}. Milliseconds of CPU:",
        "",
        "| | worker | API | Postgres | Valkey | all |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {' | '.join(f'{ms[part]:.1f}' for part in PARTS)} | {sum(ms.values()):.1f} |"
            for name, ms in rows.items()
        ),
    ]


def _assumed_table(assumed: Assumptions) -> list[str]:
    rows = (
        ("users who write on a day", f"{assumed.active_share:.0%}"),
        ("runs of such a user, on a day", f"{assumed.runs_a_day:g}"),
        ("of them in the busiest hour", f"{assumed.busiest_hour:.0%}"),
        ("words of an answer (median)", f"{assumed.words:g}, {assumed.words_a_second:g} a second"),
        ("until the model begins (median)", f"{assumed.first_word_seconds:g} s"),
        ("runs with a tool", f"{assumed.tool_share:.0%}: 2 s more, and one more wait for the model"),
        ("reads around a run", f"{assumed.reads_a_run:g}"),
        ("a page stays open after a run for", f"{assumed.open_seconds:g} s"),
        ("a process may use", f"{assumed.fullest:.0%} of a core in the busiest minute"),
        ("runs of a worker at once", f"{assumed.run_slots}"),
        ("open streams of an API process", f"{assumed.streams_a_process:,}"),
        ("events are kept for", f"{assumed.retention_days} days"),
    )
    return ["| assumed | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]


def _needs_table(needs: Sequence[Need]) -> list[str]:
    rows: Mapping[str, list[str]] = {
        "users": [f"{need.users:,}" for need in needs],
        "runs a second, busiest hour": [f"{need.runs_a_second:.2g}" for need in needs],
        "live runs, the most at once": [f"{need.live_runs:,}" for need in needs],
        "open streams": [f"{need.streams:,}" for need in needs],
        "events a second": [f"{need.events_a_second:,.0f}" for need in needs],
        **{
            f"cores of {title}": [f"{need.cores[part]:.2f}" for need in needs]
            for part, title in zip(PARTS, ("workers", "API", "Postgres", "Valkey"), strict=True)
        },
        "API processes": [str(need.apis) for need in needs],
        "workers": [str(need.workers) for need in needs],
        "memory of both": [f"{need.memory_gib:.1f} GiB" for need in needs],
        "wait in the queue, p99": [f"{need.wait_ms:.0f} ms" for need in needs],
        "the same, a worker away": [f"{need.wait_one_lost_ms:.0f} ms" for need in needs],
        "connections to Postgres": [f"{need.connections:,}" for need in needs],
        "of what one Postgres commits": [f"{need.events_a_second / COMMITTED_EVENTS:.1%}" for need in needs],
        "on its disk": [f"{need.disk_gb:,.0f} GB" for need in needs],
    }
    header, *rest = ([name, *cells] for name, cells in rows.items())
    return [
        f"| {' | '.join(header)} |",
        f"| {' | '.join('---' for _ in header)} |",
        *(f"| {' | '.join(row)} |" for row in rest),
    ]


if __name__ == "__main__":
    print(tables(Figures.load(), Assumptions()))
