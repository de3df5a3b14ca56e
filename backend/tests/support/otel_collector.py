"""A real OpenTelemetry collector as a process (``script/otel-collector``), and what it says that it received.

It prints every span, in the format of the collectors' debug exporter, and passes it on by OTLP to an endpoint of the test.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.limits import HUNG_SECONDS, INSTALL_SECONDS
from tests.support.otlp_receiver import Receiver, otlp_receiver
from tests.support.ports import reserved_port

ROOT = Path(__file__).parents[3]
_MISSING = "no OpenTelemetry collector here: nothing shows that one takes what we send. script/otel-collector brings one"
_FIELD = re.compile(r"^ +(Trace ID|Parent ID|ID|Name|Status code) *: ?(.*)$")
_ATTRIBUTE = re.compile(r"^ +-> ([^:]+): (\w+)\((.*)\)$")


@dataclass
class PrintedSpan:
    """A span as the collector prints it."""

    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    name: str = ""
    failed: bool = False
    resource: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    """Values as text."""

    @property
    def operation(self) -> str:
        return self.name.split(" ")[0]


@dataclass
class Collector:
    """A running collector."""

    url: str
    forwarded: Receiver
    """What it has passed on."""
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text()

    def printed(self) -> list[PrintedSpan]:
        """Return the spans that it has printed so far; the last one may not be whole yet."""
        return list(read_debug_log(self.text))


def collector_program() -> Path:
    """Return the program; the test is skipped with a reason without one, and fails where ``CI`` is set."""
    done = subprocess.run(
        [str(ROOT / "script" / "otel-collector")],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        reason = f"{_MISSING}: {done.stderr[-300:]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return Path(done.stdout.strip())


@contextmanager
def otel_collector(program: Path, folder: Path) -> Iterator[Collector]:
    """Run a collector in this block; its log is in the folder."""
    log = folder / "collector.log"
    ports = reserved_port(), reserved_port()
    http, grpc = (f"127.0.0.1:{port}" for port in ports)
    with otlp_receiver() as receiver, log.open("wb") as output:
        command = [
            *(str(program), "start", "--log-format", "json"),
            *("--otlp-http-endpoint", http, "--otlp-grpc-endpoint", grpc),
            *("--debug-log", "traces", "--debug-log-verbosity", "detailed"),
            *("--exporter", "otlp", "--otlp-exporter-endpoint", receiver.url),
            *("--otlp-exporter-protocol", "http", "--batch-timeout", "100ms"),
        ]
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env={"RUST_LOG": "info"}
        )
        try:
            yield Collector(f"http://{http}", receiver, log)
        finally:
            process.terminate()
            process.wait(HUNG_SECONDS)


def read_debug_log(text: str) -> Iterator[PrintedSpan]:
    """Read the spans of a log in the format of the debug exporter. Lines of anything else are passed over."""
    span: PrintedSpan | None = None
    resource: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("ResourceSpans #"):
            resource = {}
        if line.startswith(("ResourceSpans #", "ScopeSpans #", "Span #")):
            if span is not None:
                yield span
            span = PrintedSpan(resource=resource) if line.startswith("Span #") else None
        elif found := _ATTRIBUTE.match(line):
            (resource if span is None else span.attributes)[found[1]] = found[3]
        elif span is not None and (found := _FIELD.match(line)):
            _set(span, found[1], found[2].strip())
    if span is not None:
        yield span


def _set(span: PrintedSpan, label: str, value: str) -> None:
    match label:
        case "Trace ID":
            span.trace_id = value
        case "Parent ID":
            span.parent_id = value
        case "ID":
            span.span_id = value
        case "Name":
            span.name = value
        case _:
            span.failed = value == "STATUS_CODE_ERROR"
