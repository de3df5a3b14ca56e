"""What of the SDK's session is not public and used here. Servers that are real are in the integration tests."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp.types as types
import pytest
from mcp import McpError
from mcp.shared.memory import create_client_server_memory_streams

from core.agentscope.tools.mcp.failures import Failure, RequestFailed, ServerRefused, ServerUnavailable
from core.agentscope.tools.mcp.session import McpSession, _error, _SdkSession, reason_of

LOST = Failure("lost", "the connection broke")


async def test_a_request_is_ended_by_its_number_and_no_other_one() -> None:
    async with create_client_server_memory_streams() as (client, server):
        sdk = _SdkSession(*client, changed=lambda: None, ended=lambda: None)
        async with sdk:
            session = McpSession(sdk)
            number = sdk.next_request_id
            first, second = (
                asyncio.create_task(session.call(name, {}, idempotency_key="k")) for name in ("pay", "look")
            )
            heard: Any = server[0]
            sent = [(await heard.receive()).message.root for _ in range(2)]

            assert [request.id for request in sent] == [number, number + 1]
            sdk.fail(number, LOST)
            with pytest.raises(RequestFailed) as failed:
                await first
            assert failed.value.failure == LOST
            # One that has its answer already, or never was.
            sdk.fail(number, LOST)
            assert not second.done()

            second.cancel()
            await asyncio.wait({second})
            await asyncio.gather(sdk.settle(), _cancelled(heard, number + 1))


async def _cancelled(heard: Any, number: int) -> None:
    notification = (await heard.receive()).message.root
    assert (notification.method, notification.params["requestId"]) == ("notifications/cancelled", number)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ServerRefused("no such client"), "it answered: no such client"),
        (ServerRefused("x" * 300), "it answered: " + "x" * 200),
        (ServerRefused("token opaque-value is wrong"), "it answered: token [redacted] is wrong"),
        # In the middle of the secret, and in the form that a URL has.
        (ServerRefused("x" * 195 + "opaque-value"), "it answered: " + "x" * 195 + "[reda"),
        (ServerRefused("no k%3D%3D%3D%3D%3D%3D%3Dv"), "it answered: no [redacted]"),
        (ExceptionGroup("", [ServerRefused("opaque-value")]), "it answered: [redacted]"),
        (RequestFailed(LOST), "the connection broke"),
        (ServerUnavailable("there is no program x"), "there is no program x"),
        (ValueError("opaque-value"), "ValueError"),
    ],
)
def test_a_reason_holds_no_secret(error: Exception, shown: str) -> None:
    assert reason_of(error, ("opaque-value", "k=======v")) == shown


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (types.ErrorData(code=types.CONNECTION_CLOSED, message="Connection closed"), "lost"),
        (types.ErrorData(code=1, message="Session terminated"), "session-gone"),
    ],
)
def test_the_sdk_s_own_errors_are_told_apart_by_their_words(error: types.ErrorData, kind: str) -> None:
    found = _error(McpError(error).error)

    assert isinstance(found, RequestFailed)
    assert found.failure.kind == kind
