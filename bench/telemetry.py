"""What watching costs: CPU of a run with metrics, traces and the triggers that count stored bytes, on and off.

    uv run --project backend python bench/telemetry.py --rounds 8

Each variant has a service of its own. Their rounds take turns, so what else the machine does meets all of them: compare
the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import statistics
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import cpu
import uvloop
from runs import BenchRun, Load
from sse_client import Target, fetch
from stack import Stack, StackOptions, free_port, running_part, running_stack

_GROUPS = (cpu.WORKER, cpu.API, cpu.POSTGRES, cpu.REDIS)
_SETTLE_SECONDS = 0.5
_SCRAPE_SECONDS = 1.0
"""Prometheus' default is a minute."""
_WARM_UPS = 10
_TRACES = {"AGENT_TRACES__ENABLED": "true", "OTEL_BSP_SCHEDULE_DELAY": "1000"}


@dataclass(frozen=True, slots=True)
class Variant:
    """A service, and what is switched in it."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    traced: bool = False
    scraped: bool = False
    triggers: bool = True


VARIANTS = (
    Variant("nothing is shown"),
    Variant("metrics, read every second", scraped=True),
    Variant("traces", _TRACES, traced=True),
    Variant("traces with contents", {**_TRACES, "AGENT_TRACES__CONTENTS": "true"}, traced=True),
    Variant("without the triggers that count stored bytes", triggers=False),
)


@dataclass(slots=True)
class Running:
    """A variant's service."""

    variant: Variant
    stack: Stack
    target: Target
    metrics: Target | None
    rounds: list[Mapping[str, float]] = field(default_factory=list)
    """CPU in milliseconds a run, by process."""


@contextlib.contextmanager
def running(variant: Variant, sink: str) -> Generator[Running]:
    """Start the service of a variant, and stop it again."""
    port = free_port() if variant.scraped else None
    stack_options = StackOptions(
        arguments=("--metrics-port", str(port)) if port else (),
        environment={**variant.environment, "OTEL_EXPORTER_OTLP_ENDPOINT": sink},
    )
    with running_stack(stack_options) as stack:
        metrics = Target("127.0.0.1", port) if port else None
        yield Running(variant, stack, Target.of(stack.base_url), metrics)


async def bench(services: Sequence[Running], options: argparse.Namespace) -> None:
    """Measure in turns; each round begins with another variant."""
    for service in services:
        if not service.variant.triggers:
            await _switch_triggers_off(service.stack)
        await _runs(service.target, _WARM_UPS, Load(deltas=5, rate=50))
    for number in range(options.rounds):
        first = number % len(services)
        for service in (*services[first:], *services[:first]):
            service.rounds.append(await _measure(service, options))


async def _measure(service: Running, options: argparse.Namespace) -> Mapping[str, float]:
    before = cpu.read(service.stack.roots)
    scraping = None if service.metrics is None else asyncio.create_task(_scrape(service.metrics))
    await _runs(service.target, options.runs, Load(options.deltas, options.rate))
    # What a run leaves to be done after its last event is part of its cost: also the sending of its spans.
    await asyncio.sleep(_SETTLE_SECONDS)
    if scraping is not None:
        scraping.cancel()
        await asyncio.wait([scraping])
        if not scraping.cancelled() and (failure := scraping.exception()) is not None:
            raise failure
    used = cpu.used(before, cpu.read(service.stack.roots))
    return {group: used.get(group, 0.0) * 1000 / options.runs for group in _GROUPS}


async def _runs(target: Target, count: int, load: Load) -> None:
    runs = [BenchRun(load) for _ in range(count)]
    await asyncio.gather(*(run.run(target) for run in runs))
    if problems := [problem for run in runs for problem in run.trace.problems]:
        raise RuntimeError(problems[0])


async def _scrape(metrics: Target) -> None:
    while True:
        page = await fetch(metrics, metrics.request("GET", "/metrics"))
        if b'process="worker"' not in page:
            raise RuntimeError("the page has no figures of a worker")
        await asyncio.sleep(_SCRAPE_SECONDS)


async def _switch_triggers_off(stack: Stack) -> None:
    socket = stack.directory / "data" / "postgres" / "socket"
    connection = await asyncpg.connect(f"postgresql://postgres@/agentroute?host={socket}&port=5432")
    try:
        found = await connection.fetch(
            r"""SELECT tgrelid::regclass::text AS place, tgname AS name FROM pg_trigger
            WHERE tgname LIKE 'agent\_count\_%' AND tgname <> 'agent_count_replaced'"""
        )
        if not found:
            raise RuntimeError("there are no such triggers")
        for trigger in found:
            await connection.execute(f"ALTER TABLE {trigger['place']} DISABLE TRIGGER {trigger['name']}")
    finally:
        await connection.close()


def table(services: Sequence[Running]) -> str:
    """Return the medians, and the median of how the rounds compare with the first variant's."""
    lines = [
        "| | worker | API | Postgres | Valkey | all | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    plain = _sums(services[0])
    for service in services:
        each = [statistics.median(figures[group] for figures in service.rounds) for group in _GROUPS]
        sums = _sums(service)
        ratio = statistics.median(one / other for one, other in zip(sums, plain, strict=True))
        cells = " | ".join(f"{value:.1f}" for value in (*each, statistics.median(sums)))
        lines.append(f"| {service.variant.name} | {cells} | {ratio:.2f} |")
    return "\n".join(lines)


def _sums(service: Running) -> list[float]:
    return [sum(figures.values()) for figures in service.rounds]


async def _sink(port: int) -> None:
    """Take everything, as a collector does, and throw it away."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].split(b"\r\n")[0].strip()
                await reader.readexactly(int(length or 0))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--runs", type=int, default=50, help="runs at once")
    parser.add_argument("--deltas", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.0, help="deltas a second and run; 0 for no pacing")
    parser.add_argument("--sink", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink is not None:
        asyncio.run(_sink(options.sink))
        return
    with contextlib.ExitStack() as parts:
        port = free_port()
        directory = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bench-sink-")))
        command = [sys.executable, str(Path(__file__)), "--sink", str(port)]
        parts.enter_context(running_part("sink", directory, command))
        services = [parts.enter_context(running(variant, f"http://127.0.0.1:{port}")) for variant in VARIANTS]
        uvloop.run(bench(services, options))
        print(table(services))
        for number, round_of in enumerate(itertools.zip_longest(*(it.rounds for it in services)), start=1):
            sums = ", ".join(f"{sum(figures.values()):.1f}" for figures in round_of)
            print(f"round {number}: {sums}", file=sys.stderr)


if __name__ == "__main__":
    main()
