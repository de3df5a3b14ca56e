"""An OpenAI-compatible endpoint that wants a key and knows two models, in a thread: for tests that are not asynchronous."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

KEY = "sk-0123456789abcdefghij"
MODELS = ("large", "small")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            self._refuse(404, "no such page")
        elif self._has_key():
            self._answer(200, {"data": [{"id": name} for name in MODELS]})

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._has_key():
            return
        if body["model"] not in MODELS:
            self._refuse(404, f"The model `{body['model']}` does not exist")
            return
        said: list[tuple[dict[str, str], str | None]] = [
            ({"content": f"I am {body['model']}."}, None),
            ({}, "stop"),
        ]
        frames = [{"choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in said]
        text = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames) + "data: [DONE]\n\n"
        self._send(200, "text/event-stream", text.encode())

    def _has_key(self) -> bool:
        known = self.headers.get("Authorization") == f"Bearer {KEY}"
        if not known:
            self._refuse(401, "Incorrect API key provided")
        return known

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, {"error": {"message": message}})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(document).encode())

    def _send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """Say nothing."""


@contextmanager
def key_endpoint() -> Iterator[str]:
    """Serve on a free port of this machine; yields the base URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            thread.join()
