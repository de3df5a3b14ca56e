"""An OTLP endpoint for tests: takes what OpenTelemetry's exporter sends over HTTP, and decodes it with OTLP's own schema."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class SeenSpan:
    """A span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    service: str
    schema: str
    began: int
    ended: int
    failed: bool


@dataclass
class Receiver:
    """What an endpoint has received."""

    url: str = ""
    spans: list[SeenSpan] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    """All bodies, to look for what must not be in them."""

    def named(self, operation: str) -> list[SeenSpan]:
        """Return the spans whose name begins with a word."""
        return [span for span in self.spans if span.name.split(" ")[0] == operation]


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    """Receive spans in this block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.raw += body
            receiver.spans += _read(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name of the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(body: bytes) -> list[SeenSpan]:
    request: Any = ExportTraceServiceRequest.FromString(body)
    return [
        SeenSpan(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            {each.key: _value(each.value) for each in span.attributes},
            next(_value(each.value) for each in found.resource.attributes if each.key == "service.name"),
            scope.schema_url,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == span.status.STATUS_CODE_ERROR,
        )
        for found in request.resource_spans
        for scope in found.scope_spans
        for span in scope.spans
    ]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
