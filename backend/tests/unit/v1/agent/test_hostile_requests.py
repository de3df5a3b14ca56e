"""No number, size, character or type of a request ends in a 500."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

BASE = "/api/v1/agent"
TEXTS = [
    "",
    "\u0000",
    "\ud800",
    "\u202e\x1b[2J",
    "9" * 400,
    "-1",
    "0",
    "1e400",
    "NaN",
    "null",
    "a" * 5000,
    "%00",
    "MQ==",
    "é",
]
VALUES: list[Any] = [
    None, True, 0, -1, 10**18, 10**400, 1e308, "", "\u202e", "x" * 5000, [], [[]], {}, {"": None}, [None], [5], ["x"],
    [{}], {"id": {}}, [{"id": []}], [{"role": {}}], [{"role": "user", "content": {}}], [{"type": []}],
]  # fmt: skip
MEMBERS = [
    "threadId", "runId", "protocolVersion", "parentRunId", "state", "messages", "tools", "context", "forwardedProps",
    "resume", "title",
]  # fmt: skip
READS = [
    "/history?threadId={}", "/history?threadId=t&limit={}", "/history?threadId=t&before={}", "/events?threadId={}",
    "/events?threadId=t&cursor={}", "/events?threadId=t&runId={}", "/runs/{}?threadId=t", "/threads/{}",
    "/threads/{}/runs", "/threads/t/runs?before={}", "/threads?limit={}", "/threads?before={}", "/threads?q={}",
]  # fmt: skip
HEADERS = [
    "Last-Event-ID",
    "Idempotency-Key",
    "X-Request-Id",
    "Accept",
    "Content-Type",
    "Content-Encoding",
    "Origin",
]


@pytest.mark.parametrize("path", READS)
async def test_no_parameter_ends_in_a_500(path: str, ada: httpx.AsyncClient) -> None:
    for text in TEXTS:
        value = str(httpx.QueryParams({"v": text.encode("utf-8", "replace").decode()})).partition("=")[2]
        assert (await ada.get(BASE + path.format(value))).status_code < 500, text


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize(
    "method_and_path", ["POST /runs", "POST /resume", "POST /runs/r/cancel", "PATCH /threads/t"]
)
async def test_no_body_ends_in_a_500(method_and_path: str, member: str, ada: httpx.AsyncClient) -> None:
    method, path = method_and_path.split()
    message = {"role": "user", "content": "hello"}
    for number, value in enumerate(VALUES):
        body = {"threadId": f"t-{number}", "messages": [message]} | {member: value}
        sent = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        assert (await ada.request(method, BASE + path, content=sent, headers=headers)).status_code < 500, (
            value
        )


@pytest.mark.parametrize("header", HEADERS)
async def test_no_header_ends_in_a_500(header: str, ada: httpx.AsyncClient) -> None:
    for number, text in enumerate(
        ["", "9" * 400, "é", '"', ";;;=", ",", "a" * 5000, "1-" + "9" * 30, "charset=\x7f"]
    ):
        body = {"threadId": f"t-{number}", "messages": [{"role": "user", "content": "hello"}]}
        headers = httpx.Headers({"Content-Type": "application/json"}, encoding="latin-1")
        headers[header] = text
        answer = await ada.post(f"{BASE}/runs", content=json.dumps(body).encode(), headers=headers)
        assert answer.status_code < 500, text
