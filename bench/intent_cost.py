"""What the intent stage costs: model calls, input tokens and the wait for the first word, with the stage and without.

    uv run --project backend python bench/intent_cost.py --runs 10

Starts a stack of its own for each value of ``stages.intent``, with the profile that ships otherwise. The bench model
takes the same time to begin each answer (``--first-ms``). Token counts are its estimates, of four characters a token:
compare the values.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import urllib.request
from importlib.resources import files
from pathlib import Path
from statistics import mean, median
from typing import Any

import orjson
import uvloop
from runs import BASE_PATH, BenchRun, Load
from sse_client import Target
from stack import StackOptions, running_stack

_REQUESTS = {"plain chat": "", "one tool call": "what time is it?"}
_VALUES = ("off", "model")
_SHIPS = 'intent = "off"'


async def bench(target: Target, load: Load, runs: int) -> list[BenchRun]:
    """Go through runs one after the other, after one that is not measured: it opens connections."""
    batch = [BenchRun(load) for _ in range(1 + runs)]
    for run in batch:
        await run.run(target)
    return batch[1:]


def measure(value: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each kind of request, with ``stages.intent`` set to a value."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        profile = Path(directory) / "agent.toml"
        text = files("core.agentscope.runtime.profile").joinpath("default_profile.toml").read_text()
        if _SHIPS not in text:
            sys.exit(f"the profile that ships has no line {_SHIPS}")
        profile.write_text(text.replace(_SHIPS, f'intent = "{value}"'))
        with running_stack(StackOptions(environment={"AGENT_PROFILE_PATH": str(profile)})) as stack:
            for kind, request in _REQUESTS.items():
                load = Load(deltas=5, rate=50, first_ms=options.first_ms, request=request)
                batch = uvloop.run(bench(Target.of(stack.base_url), load, options.runs))
                ledger = _ledger(stack.base_url)
                used = [ledger[run.thread_id] for run in batch]
                rows.append(
                    {
                        "intent": value,
                        "request": kind,
                        "calls": mean(row["calls"] for row in used),
                        "input_tokens": mean(row["inputTokens"] for row in used),
                        "first_word_ms": median(
                            (run.trace.first_text_ns - run.trace.sent_ns) / 1e6 for run in batch
                        ),
                        "problems": [problem for run in batch for problem in run.trace.problems],
                    }
                )
    return rows


def _ledger(base_url: str) -> dict[str, dict[str, Any]]:
    """Return what each thread used."""
    url = f"{base_url}{BASE_PATH}/usage?groupBy=thread"
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own URL
        return {row["threadId"]: row for row in orjson.loads(response.read())["rows"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10, help="of each kind, one after the other")
    parser.add_argument(
        "--first-ms", type=float, default=500.0, help="the model's own time to begin an answer"
    )
    parser.add_argument("--json", type=Path, help="write figures here as well")
    options = parser.parse_args()
    rows = [row for value in _VALUES for row in measure(value, options)]
    print(
        "| stages.intent | request | calls | input tokens | first word ms | problems |\n|---|---|---|---|---|---|"
    )
    for row in rows:
        cells = [row["intent"], row["request"], f"{row['calls']:.1f}", f"{row['input_tokens']:.0f}"]
        print(f"| {' | '.join(cells)} | {row['first_word_ms']:.0f} | {len(row['problems'])} |")
    if options.json:
        options.json.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    problems = [problem for row in rows for problem in row["problems"]]
    for problem in problems[:10]:
        print(f"problem: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
