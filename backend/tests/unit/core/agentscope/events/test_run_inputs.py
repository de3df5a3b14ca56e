"""What followers of a thread are told of a run's request."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from core.agentscope.events.run_inputs import RunInputs, input_frame

AT = datetime(2026, 11, 27, tzinfo=UTC)
HELLO = {"id": "m-1", "role": "user", "content": "hello"}
PICTURE = {
    "id": "m-2",
    "role": "user",
    "content": [
        {"type": "image", "source": {"type": "file", "value": "f-1"}, "metadata": {"filename": "a.png"}}
    ],
}


@pytest.mark.parametrize(
    ("request_body", "version", "told"),
    [
        ({"messages": [HELLO], "state": {"secret": 1}}, "1.0", {"messages": [HELLO]}),
        (
            {"messages": [HELLO], "forwardedProps": {"regenerateFrom": "m-0", "onBusy": "reject"}},
            "1.0",
            {"messages": [HELLO], "regenerateFrom": "m-0"},
        ),
        (
            {"messages": [PICTURE]},
            None,
            {"messages": [PICTURE | {"content": [{"type": "text", "text": "[image: a.png]"}]}]},
        ),
        ({"messages": [], "resume": [{"interruptId": "i-1", "status": "resolved"}]}, "1.0", None),
        ({}, "1.0", None),
    ],
    ids=["messages", "regenerated", "older-client", "resumed", "no-longer-kept"],
)
def test_only_messages_and_what_they_replace_are_told(
    request_body: dict[str, Any], version: str | None, told: dict[str, Any] | None
) -> None:
    frame = input_frame("r-1", orjson.dumps(request_body).decode(), version, AT)

    if told is None:
        assert frame == b""
        return
    head, data, end = frame.partition(b"data: ")[0], frame[6:-2], frame[-2:]
    assert (head, end) == (b"", b"\n\n")
    assert orjson.loads(data) == {
        "type": "CUSTOM",
        "name": "agentroute.input",
        "value": {"runId": "r-1"} | told,
        "timestamp": int(AT.timestamp() * 1000),
    }


class Requests:
    """A store of requests that counts the looks, and may be away."""

    def __init__(self) -> None:
        self.looks = 0
        self.away = False

    async def find_input(self, session_id: int, ordinal: int) -> dict[str, Any] | None:
        self.looks += 1
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError("away")
        text = orjson.dumps({"messages": [HELLO]}).decode()
        row = {"run_id": f"r-{ordinal}", "input": text, "protocol_version": "1.0", "created_at": AT}
        return row if session_id == 1 else None


async def test_all_who_follow_a_thread_share_one_look_and_a_failed_one_is_made_again() -> None:
    requests = Requests()
    inputs = RunInputs(requests)  # pyright: ignore[reportArgumentType]  the one method that is used
    requests.away = True
    failed = await asyncio.gather(*(inputs.frame(1, 1) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in failed] == [ConnectionError] * 5
    requests.away = False

    frames = await asyncio.gather(*(inputs.frame(1, 1) for _ in range(50)))

    assert len(set(frames)) == 1
    assert b'"runId":"r-1"' in frames[0]
    assert requests.looks == 2
    assert await inputs.frame(2, 1) == b""


async def test_a_look_that_fails_when_all_have_left_is_not_the_answer_of_the_next_one() -> None:
    requests = Requests()
    inputs = RunInputs(requests)  # pyright: ignore[reportArgumentType]
    requests.away = True
    leaving = asyncio.create_task(inputs.frame(1, 1))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    for _ in range(5):
        await asyncio.sleep(0)
    assert requests.looks == 1
    requests.away = False

    assert b'"runId":"r-1"' in await inputs.frame(1, 1)


async def test_one_who_leaves_takes_the_answer_from_nobody() -> None:
    inputs = RunInputs(Requests())  # pyright: ignore[reportArgumentType]
    leaving = asyncio.create_task(inputs.frame(1, 1))
    staying = asyncio.create_task(inputs.frame(1, 1))
    await asyncio.sleep(0)
    leaving.cancel()

    assert b'"runId":"r-1"' in await staying
