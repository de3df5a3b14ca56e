"""Sends spans to an OTLP endpoint. The only file that imports OpenTelemetry.

Where, how often and which of them: OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``…_HEADERS``,
``OTEL_TRACES_SAMPLER``, ``OTEL_BSP_…``, ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``). The tracer is not made the
one of the whole process: libraries that trace by themselves would send what users say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from core.config import TraceSettings
from core.tracing.conventions import ERROR_TYPE, SCHEMA_URL
from core.tracing.trace_context import TraceContext
from core.tracing.tracer import Attributes, Span, traced_by

FLUSH_MILLISECONDS = 3000
"""How long the end of a process waits for an endpoint that does not answer."""
_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}


@contextmanager
def sending_spans(settings: TraceSettings, service: str) -> Iterator[None]:
    """Record and send spans in this block; what is left is sent at its end.

    Args:
        settings: What may be recorded.
        service: Name of the process, unless ``OTEL_SERVICE_NAME`` says another one.
    """
    provider = TracerProvider(
        resource=Resource.create({"service.version": version("agentroute")}).merge(_named(service)),
        shutdown_on_exit=False,
        id_generator=_KeyedIds(),
    )
    processor = BatchSpanProcessor(OTLPSpanExporter())
    provider.add_span_processor(processor)
    tracer = _OtelTracer(provider.get_tracer("agentroute", version("agentroute"), SCHEMA_URL), settings)
    try:
        with traced_by(tracer):
            yield
    finally:
        provider.force_flush(FLUSH_MILLISECONDS)
        provider.shutdown()


def _named(service: str) -> Resource:
    found = Resource.create({}).attributes.get("service.name", "")
    # The library's word for "nobody said".
    return Resource({"service.name": service} if str(found).startswith("unknown_service") else {})


_key: ContextVar[str] = ContextVar("span_key", default="")


class _KeyedIds(RandomIdGenerator):
    """The id of a span with a key is made of it. Another process that tells of the same gives it the same id."""

    def generate_span_id(self) -> int:
        if not (key := _key.get()):
            return super().generate_span_id()
        # 0 is no id.
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) or 1


class _OtelSpan:
    def __init__(self, span: otel.Span) -> None:
        self._span = span

    @property
    def context(self) -> TraceContext:
        found = self._span.get_span_context()
        return TraceContext(
            f"{found.trace_id:032x}", f"{found.span_id:016x}", bool(found.trace_flags & TraceFlags.SAMPLED)
        )

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes({name: value for name, value in attributes.items() if value is not None})

    def fail(self, kind: str) -> None:
        self._span.set_attribute(ERROR_TYPE, kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self, at: float | None = None) -> None:
        self._span.end(None if at is None else round(at * 1e9))


class _OtelTracer:
    def __init__(self, tracer: otel.Tracer, settings: TraceSettings) -> None:
        self._tracer = tracer
        self.contents = settings.contents
        self.user_ids = settings.user_ids

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
        _key.set(key)
        return _OtelSpan(
            self._tracer.start_span(
                name,
                # An empty context: no other library's span is taken for a parent.
                context=Context() if parent is None else set_span_in_context(_remote(parent), Context()),
                kind=_KINDS[kind],
                attributes={name: value for name, value in attributes.items() if value is not None},
                start_time=None if at is None else round(at * 1e9),
            )
        )


def _remote(parent: TraceContext) -> NonRecordingSpan:
    return NonRecordingSpan(
        SpanContext(
            int(parent.trace_id, 16),
            int(parent.span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT),
        )
    )
