"""The published benchmark: the same load at AgentRoute and at each peer, in turn, in one command.

    uv run --project backend python bench/compare.py --rounds 3

Each service is installed from its lock file into ``bench/peers/*/.venv``,
started as its documentation recommends, warmed up, measured and stopped
before the next one starts. A round visits every service once, so that a busy
minute of the machine does not hit one service alone; the table shows medians
of the rounds. What the columns mean, and what they do not, is in
``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cpu
import orjson
import uvloop
from chart import Panel, svg_of
from load import percentile
from peer_runs import AnyRun
from peer_servers import (
    AGENT_ROUTE,
    ALL,
    OURS_KEEPS,
    OURS_RESUMES,
    Peer,
    RunningService,
    running_ours,
    running_peer,
)
from runs import Load

_MS = 1e6
_WARM_UP = Load(deltas=5, rate=50)
_IDLE_RUNS = 20
_SETTLE_SECONDS = 0.5


async def measure(
    service: RunningService, load: Load, runs: int, *, one_by_one: bool = False
) -> dict[str, Any]:
    """Start runs at once, or one after the other, and return the figures: milliseconds, CPU in ms a run."""
    batch: list[AnyRun] = [service.new_run(load) for _ in range(runs)]
    before, began = cpu.read(service.roots), time.monotonic()
    if one_by_one:
        for run in batch:
            await run.run(service.target)
    else:
        await asyncio.gather(*(run.run(service.target) for run in batch))
    wall = time.monotonic() - began
    # What a run leaves to be done after its last event is part of its cost.
    await asyncio.sleep(_SETTLE_SECONDS)
    after = cpu.read(service.roots)
    good = [run.trace for run in batch if not run.trace.problems]
    spent = {group: value for group, value in cpu.used(before, after).items() if group != cpu.MODEL}
    latencies = [latency / _MS for trace in good for latency in trace.latencies_ns]
    return {
        "runs": runs,
        "failed": runs - len(good),
        "problems": sorted({problem for run in batch for problem in run.trace.problems[:1]})[:3],
        "runs_per_second": len(good) / wall,
        "cpu_ms_per_run": {
            group: value * 1000 / max(1, len(good))
            for group, value in {**spent, "all": sum(spent.values())}.items()
        },
        "resident_mib": sum(size for group, size in after.resident_bytes.items() if group != cpu.MODEL)
        / 2**20,
        "first_event_ms": percentile([(it.first_event_ns - it.sent_ns) / _MS for it in good], 0.5),
        "first_token_ms": percentile([(it.first_text_ns - it.sent_ns) / _MS for it in good], 0.5),
        "latency_p50_ms": percentile(latencies, 0.5),
        "latency_p99_ms": percentile(latencies, 0.99),
    }


async def visit(service: RunningService, options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything at one service that has just been started."""
    warm_up: list[AnyRun] = [service.new_run(_WARM_UP) for _ in range(10)]
    for run in warm_up:
        await run.run(service.target)
    await measure(service, Load(options.deltas, 0), options.runs[0])
    figures: dict[str, Any] = {
        "idle": await measure(service, Load(5, 0), _IDLE_RUNS, one_by_one=True),
        "paced": await measure(service, Load(options.deltas, options.rate), options.runs[0]),
    }
    for runs in options.runs:
        figures[f"saturated-{runs}"] = await measure(service, Load(options.deltas, 0), runs)
    return figures


@contextlib.contextmanager
def _running(peer: Peer | None) -> Generator[RunningService]:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        started = running_peer(peer, Path(name)) if peer else running_ours(Path(name))
        with started as service:
            yield service


def median_of(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the median of every figure over the rounds; texts are those of the last one."""
    merged: dict[str, Any] = {}
    for key, value in rounds[-1].items():
        values = [it[key] for it in rounds if key in it]
        if isinstance(value, Mapping):
            merged[key] = median_of(values)
        elif isinstance(value, int | float):
            merged[key] = statistics.median(values)
        else:
            merged[key] = value
    return merged


def table(figures: Mapping[str, Mapping[str, Any]], runs: Sequence[int]) -> str:
    """Return the medians as a table in Markdown."""
    promises = {AGENT_ROUTE: (OURS_KEEPS, OURS_RESUMES), **{it.name: (it.keeps, it.resumes) for it in ALL}}
    heads = (
        "service",
        f"CPU a run, {runs[0]} at once",
        f"runs/s, {' / '.join(map(str, runs))} at once",
        "failed",
        f"delta p50 / p99, {runs[0]} paced",
        "first token in that burst",
        "first event, idle",
        "what a dead process leaves",
        "a client that lost its connection",
    )
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    for name, it in figures.items():
        full = [it[f"saturated-{count}"] for count in runs]
        cells = (
            name,
            f"{full[0]['cpu_ms_per_run']['all']:.0f} ms",
            " / ".join(f"{one['runs_per_second']:.1f}" for one in full),
            " / ".join(f"{one['failed']:.0f}" for one in full),
            f"{it['paced']['latency_p50_ms']:.0f} / {it['paced']['latency_p99_ms']:.0f} ms",
            f"{it['paced']['first_token_ms']:.0f} ms",
            f"{it['idle']['first_event_ms']:.1f} ms",
            *promises[name],
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def chart(figures: Mapping[str, Mapping[str, Any]], runs: int) -> str:
    """Return an SVG of what a run costs and of how late a word arrives."""

    def panel(title: str, unit: str, part: str, *path: str) -> Panel:
        values: list[tuple[str, float]] = []
        for name, it in figures.items():
            value: Any = it[part]
            for key in path:
                value = value[key]
            values.append((name, float(value)))
        return Panel(title, unit, values)

    return svg_of(
        [
            panel(f"CPU of a run, {runs} at once", "ms", f"saturated-{runs}", "cpu_ms_per_run", "all"),
            panel(f"Delay of a word, p99, {runs} paced runs", "ms", "paced", "latency_p99_ms"),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, nargs="+", default=[50, 100, 200], help="runs at once")
    parser.add_argument("--deltas", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0, help="deltas a second of the paced load")
    parser.add_argument("--only", nargs="*", default=[], metavar="DIRECTORY", help="peers, or 'ours'")
    parser.add_argument("--json", type=Path, help="write all figures of all rounds here")
    parser.add_argument("--chart", type=Path, help="write the medians as an SVG here")
    options = parser.parse_args()
    services: dict[str, Peer | None] = {AGENT_ROUTE: None, **{peer.name: peer for peer in ALL}}
    if options.only:
        services = {
            name: peer
            for name, peer in services.items()
            if (peer.directory if peer else "ours") in options.only
        }
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in services}
    for number in range(1, options.rounds + 1):
        for name, peer in services.items():
            print(f"round {number} of {options.rounds}: {name} ...", file=sys.stderr, flush=True)
            with _running(peer) as service:
                rounds[name].append(uvloop.run(visit(service, options)))
            for what, one in rounds[name][-1].items():
                for problem in one["problems"]:
                    print(f"  {what}: {problem[:300]}", file=sys.stderr, flush=True)
    if options.json:
        options.json.write_bytes(orjson.dumps(rounds, option=orjson.OPT_INDENT_2))
    figures = {name: median_of(done) for name, done in rounds.items()}
    if options.chart:
        options.chart.write_text(chart(figures, options.runs[0]))
    print(table(figures, options.runs))


if __name__ == "__main__":
    main()
