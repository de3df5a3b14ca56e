"""The answer of the routes that erase a user."""

from __future__ import annotations

from fastapi import Response

from core.identity import Principal
from core.user_data.erasures import AskedBy
from v1.agent.container import ApiContainer
from v1.agent.run_answers import json_answer
from v1.agent.user_data_wire import ErasureResponse

WAIT_SECONDS = 20.0
"""How long a request waits for an erasure: less than proxies do."""


async def answer_erasure(container: ApiContainer, principal: Principal, asked_by: AskedBy) -> Response:
    """Erase a user; 200 with the receipt when it is over, 202 with what was removed so far."""
    erasure, waits_for = await container.erasures.erase(principal, asked_by, within_seconds=WAIT_SECONDS)
    receipt = ErasureResponse.of(erasure, waits_for)
    return json_answer(receipt, 202 if erasure.finished_at is None else 200)
