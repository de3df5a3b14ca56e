"""Start many runs at once, follow them, and say what each delta cost and how long it took.

    uv run --project backend python bench/load.py --own-stack --runs 50 --deltas 100 --rate 50

Every run is checked to the last event: a lost, repeated or disordered one, or
a missing word, is a failure of the bench (exit status 1).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import resource
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cpu
import orjson
import uvloop
from run_trace import RunTrace
from runs import BenchRun, Load
from sse_client import Target
from stack import StackOptions, running_stack

_MS = 1e6
_WARM_UP = Load(deltas=5, rate=50)
_WIDEST_PROBLEM_LIST = 10


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the nearest-rank percentile; NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


async def measure(
    target: Target,
    load: Load,
    runs: int,
    observers: int,
    roots: Mapping[int, str | None],
    settle_seconds: float,
) -> dict[str, Any]:
    """Run one round and return its figures; times in milliseconds."""
    batch = [BenchRun(load) for _ in range(runs)]
    before, client_before, began = cpu.read(roots), _own_cpu_seconds(), time.monotonic()
    watching = [asyncio.create_task(batch[index % runs].observe(target)) for index in range(observers)]
    await asyncio.gather(*(run.run(target) for run in batch))
    wall = time.monotonic() - began
    seen = await asyncio.gather(*watching)
    client_seconds = _own_cpu_seconds() - client_before
    # What a run leaves to be done after its last event is part of its cost.
    await asyncio.sleep(settle_seconds)
    after = cpu.read(roots)
    own = [run.trace for run in batch]
    return {
        **_parameters(load, runs, observers),
        **_times(own),
        "observer_latency_ms": _latency(seen),
        "wall_seconds": wall,
        "runs_per_second": runs / wall,
        "deltas_per_second": sum(trace.words for trace in own) / wall,
        "words": sum(trace.words for trace in own),
        "text_events": sum(trace.text_events for trace in own),
        "cpu_ms_per_delta": _per_delta(cpu.used(before, after), own),
        "resident_mib": {group: size / 2**20 for group, size in after.resident_bytes.items()},
        "client_cpu_seconds": client_seconds,
        "problems": [problem for trace in [*own, *seen] for problem in trace.problems],
    }


def _parameters(load: Load, runs: int, observers: int) -> dict[str, Any]:
    return {"runs": runs, "deltas": load.deltas, "rate": load.rate, "observers": observers}


def _times(traces: Sequence[RunTrace]) -> dict[str, Any]:
    first_event = [(it.first_event_ns - it.sent_ns) / _MS for it in traces if it.first_event_ns]
    first_text = [(it.first_text_ns - it.sent_ns) / _MS for it in traces if it.first_text_ns]
    model_first = [(it.first_stamp_ns - it.sent_ns) / _MS for it in traces if it.first_text_ns]
    return {
        "first_event_ms": _p50_p99(first_event),
        "first_token_ms": _p50_p99(first_text),
        "model_first_token_ms": _p50_p99(model_first),
        "latency_ms": _latency(traces),
    }


def _latency(traces: Sequence[RunTrace]) -> dict[str, float]:
    return _p50_p99([latency / _MS for trace in traces for latency in trace.latencies_ns])


def _p50_p99(values: Sequence[float]) -> dict[str, float]:
    return {
        "p50": percentile(values, 0.5),
        "p99": percentile(values, 0.99),
        "max": max(values, default=float("nan")),
    }


def _per_delta(seconds: Mapping[str, float], traces: Sequence[RunTrace]) -> dict[str, float]:
    words = sum(trace.words for trace in traces)
    if not seconds or not words:
        return {}
    by_group = {group: value * 1000 / words for group, value in sorted(seconds.items())}
    # The model stands for a provider: its cost is not the service's.
    return {**by_group, "all": sum(value for group, value in by_group.items() if group != cpu.MODEL)}


def _own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


HEADER = """\
| runs x deltas @ rate, observers | first event / token p50 ms | latency p50 / p99 ms | observers p50 / p99 ms \
| runs/s, deltas/s | CPU ms/delta: all (api, worker, postgres, redis) | problems |
|---|---|---|---|---|---|---|"""


def markdown_row(figures: Mapping[str, Any]) -> str:
    """Return a round as a row under ``HEADER``."""
    spent: Mapping[str, float] = figures["cpu_ms_per_delta"]
    groups = ", ".join(
        _figure(spent.get(group), 3) for group in (cpu.API, cpu.WORKER, cpu.POSTGRES, cpu.REDIS)
    )
    rate = f"{figures['rate']:g}/s" if figures["rate"] else "max"
    cells = (
        f"{figures['runs']} x {figures['deltas']} @ {rate}, {figures['observers']}",
        f"{_figure(figures['first_event_ms']['p50'])} / {_figure(figures['first_token_ms']['p50'])}",
        f"{_figure(figures['latency_ms']['p50'])} / {_figure(figures['latency_ms']['p99'])}",
        f"{_figure(figures['observer_latency_ms']['p50'])} / {_figure(figures['observer_latency_ms']['p99'])}",
        f"{figures['runs_per_second']:.1f}, {figures['deltas_per_second']:.0f}",
        f"{_figure(spent.get('all'), 3)} ({groups})",
        str(len(figures["problems"])),
    )
    return f"| {' | '.join(cells)} |"


def _figure(value: float | None, digits: int = 1) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


async def bench(options: argparse.Namespace, target: Target, roots: Mapping[int, str | None]) -> int:
    """Warm up, run the rounds, print them; return the number of problems."""
    for _ in range(options.warm_up):
        await BenchRun(_WARM_UP).run(target)
    load = Load(options.deltas, options.rate, options.first_ms)
    rounds: list[dict[str, Any]] = []
    print(HEADER)
    for _ in range(options.rounds):
        figures = await measure(target, load, options.runs, options.observers, roots, options.settle_seconds)
        rounds.append(figures)
        print(markdown_row(figures), flush=True)
    result = orjson.dumps(rounds, option=orjson.OPT_INDENT_2)
    if options.json:
        options.json.write_bytes(result)
    else:
        print(result.decode())
    problems = [problem for figures in rounds for problem in figures["problems"]]
    for problem in problems[:_WIDEST_PROBLEM_LIST]:
        print(f"problem: {problem}", file=sys.stderr)
    return len(problems)


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where the service is; shared by the benches."""
    parser.add_argument("--base-url", default="http://127.0.0.1:8000")
    parser.add_argument("--header", action="append", default=[], help='such as "Authorization: Bearer ..."')
    parser.add_argument("--own-stack", action="store_true", help="start a stack of its own, and stop it")
    parser.add_argument("--stack", type=Path, help="JSON file that stack.py wrote")
    parser.add_argument(
        "--pids-of", nargs="*", default=[], metavar="[GROUP=]PID", help="process trees to measure"
    )
    parser.add_argument("--warm-up", type=int, default=5, help="runs before the first measured one")
    parser.add_argument("--json", type=Path, help="write figures here instead of to the output")


@contextlib.contextmanager
def target_of(options: argparse.Namespace) -> Generator[tuple[Target, dict[int, str | None]]]:
    """Yield the target and the process roots that the options name."""
    roots = cpu.parse_roots(options.pids_of)
    if options.own_stack:
        with running_stack(StackOptions()) as stack:
            yield Target.of(stack.base_url, tuple(options.header)), {**stack.roots, **roots}
    elif options.stack:
        described: dict[str, Any] = orjson.loads(options.stack.read_bytes())
        found = cpu.parse_roots(
            [f"{label}={pid}" if label else str(pid) for label, pid in described["roots"]]
        )
        yield Target.of(described["base_url"], tuple(options.header)), {**found, **roots}
    else:
        yield Target.of(options.base_url, tuple(options.header)), roots


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_target_arguments(parser)
    parser.add_argument("--runs", type=int, default=50, help="runs at once")
    parser.add_argument("--deltas", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0, help="deltas a second and run; 0 for no pacing")
    parser.add_argument("--first-ms", type=float, default=0.0, help="the model's own time to its first token")
    parser.add_argument("--observers", type=int, default=0, help="second readers, spread over the runs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--settle-seconds", type=float, default=0.5, help="CPU is read this long after the last event"
    )
    options = parser.parse_args()
    with target_of(options) as (target, roots):
        problems = uvloop.run(bench(options, target, roots))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
