"""How long one user waits on an idle service: to the first event, and to the first token beyond the model's own time.

    uv run --project backend python bench/first_event.py --own-stack --runs 50

Runs one after the other, each on a new thread and a new connection. The clock
starts when the request is written and uses the model's time stamps, so model
and bench have to share a machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import orjson
import uvloop
from load import add_target_arguments, percentile, target_of
from run_trace import RunTrace
from runs import BenchRun, Load
from sse_client import Target

_LOAD = Load(deltas=5, rate=50)


async def bench(target: Target, runs: int, warm_up: int, pause_seconds: float) -> dict[str, Any]:
    """Return medians and p99s in milliseconds."""
    traces: list[RunTrace] = []
    for index in range(warm_up + runs):
        run = BenchRun(_LOAD)
        await run.run(target)
        if index >= warm_up:
            traces.append(run.trace)
        # Idle means idle: let the run before finish its work.
        await asyncio.sleep(pause_seconds)
    problems = [problem for trace in traces for problem in trace.problems]
    # A run that said nothing has no times; it is among the problems.
    traces = [trace for trace in traces if trace.first_text_ns and trace.ended_ns]
    return {
        "runs": runs,
        "first_event_ms": _spread([it.first_event_ns - it.sent_ns for it in traces]),
        "model_first_token_ms": _spread([it.first_stamp_ns - it.sent_ns for it in traces]),
        "first_token_ms": _spread([it.first_text_ns - it.sent_ns for it in traces]),
        "first_token_overhead_ms": _spread([it.first_text_ns - it.first_stamp_ns for it in traces]),
        "total_ms": _spread([it.ended_ns - it.sent_ns for it in traces]),
        "problems": problems,
    }


def _spread(nanoseconds: Sequence[int]) -> dict[str, float]:
    milliseconds = [value / 1e6 for value in nanoseconds]
    return {"p50": percentile(milliseconds, 0.5), "p99": percentile(milliseconds, 0.99)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_target_arguments(parser)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--pause-seconds", type=float, default=0.1)
    options = parser.parse_args()
    with target_of(options) as (target, _roots):
        figures = uvloop.run(bench(target, options.runs, options.warm_up, options.pause_seconds))
    print(
        "| first event ms | model asked after ms | first token ms | token overhead ms | problems |\n|---|---|---|---|---|"
    )
    names = ("first_event_ms", "model_first_token_ms", "first_token_ms", "first_token_overhead_ms")
    cells = [f"{figures[name]['p50']:.1f} (p99 {figures[name]['p99']:.1f})" for name in names]
    print(f"| {' | '.join([*cells, str(len(figures['problems']))])} |")
    result = orjson.dumps(figures, option=orjson.OPT_INDENT_2)
    if options.json:
        options.json.write_bytes(result)
    else:
        print(result.decode())
    for problem in figures["problems"][:10]:
        print(f"problem: {problem}", file=sys.stderr)
    sys.exit(1 if figures["problems"] else 0)


if __name__ == "__main__":
    main()
