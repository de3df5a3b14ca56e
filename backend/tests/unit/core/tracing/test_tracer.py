"""Spans without a library: nothing happens where nothing is recorded, and contexts pass on all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.tracing.trace_context import TraceContext
from core.tracing.tracer import (
    Attributes,
    Span,
    current_context,
    inside,
    past_span,
    span,
    traced_by,
    tracer,
)

CONTEXT = TraceContext("1" * 32, "2" * 16, sampled=True)


class Recorded:
    def __init__(self, name: str, parent: TraceContext | None, number: int) -> None:
        self.name, self.parent = name, parent
        self.context = TraceContext("1" * 32, f"{number:016x}", sampled=True)
        self.failed = ""
        self.ended = 0

    def set(self, attributes: Attributes) -> None:
        pass

    def fail(self, kind: str) -> None:
        self.failed = kind

    def end(self, at: float | None = None) -> None:
        self.ended += 1


class Memory:
    contents = user_ids = False

    def __init__(self) -> None:
        self.spans: list[Recorded] = []

    def start(
        self,
        name: str,
        attributes: Attributes,
        *,
        parent: TraceContext | None,
        at: float | None = None,
        kind: str = "internal",
        key: str = "",
    ) -> Span:
        self.spans.append(Recorded(name, parent, len(self.spans) + 3))
        return self.spans[-1]


def test_without_a_tracer_nothing_is_recorded_and_the_context_of_a_request_stays() -> None:
    assert tracer() is None
    with inside(CONTEXT):
        with span("outer", {}) as found:
            assert found is None
            assert current_context() == CONTEXT
        past_span("past", {}, seconds=1)
    assert current_context() is None


def test_a_span_in_a_span_is_a_part_of_it() -> None:
    memory = Memory()
    with traced_by(memory), inside(CONTEXT), span("outer", {}), span("inner", {}):
        past_span("past", {}, seconds=1, failed="code")
    outer, inner, past = memory.spans
    assert (outer.parent, inner.parent, past.parent) == (CONTEXT, outer.context, inner.context)
    assert [each.ended for each in memory.spans] == [1, 1, 1]
    assert past.failed == "code"
    assert tracer() is None


def test_an_error_ends_its_span_and_says_its_kind() -> None:
    memory = Memory()
    with traced_by(memory), pytest.raises(ValueError, match="ours"), span("outer", {}):
        raise ValueError("ours")
    [outer] = memory.spans
    assert (outer.failed, outer.ended) == ("ValueError", 1)


def test_recording_nothing_imports_nothing() -> None:
    program = (
        "import core.tracing.tracer, agentroute.tracing.opening as opening, sys\n"
        "from core.config import TraceSettings\n"
        "with opening.open_tracing(TraceSettings(), 'x'): pass\n"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
