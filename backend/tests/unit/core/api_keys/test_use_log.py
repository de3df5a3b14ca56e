"""The last use of keys is written behind the requests, and a failure to write disturbs nobody."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.support.failing_engine import AWAY

from core.api_keys.use_log import KeyUseLog, Uses

USES = {"4fQ2bX9mTz7K": datetime(2026, 11, 27, tzinfo=UTC)}


async def test_all_uses_are_written_at_once_and_nothing_when_there_are_none() -> None:
    written: list[Uses] = []
    taken = [USES, {}]

    async def write(uses: Uses) -> None:
        written.append(uses)

    log = KeyUseLog(lambda: taken.pop(0), write)
    await log.flush()
    await log.flush()

    assert written == [USES]


@pytest.mark.parametrize("error", [AWAY, ValueError("ours")], ids=["outage", "fault"])
async def test_a_failure_to_write_is_only_logged(error: Exception) -> None:
    async def write(_uses: Uses) -> None:
        raise error

    await KeyUseLog(lambda: USES, write).flush()
