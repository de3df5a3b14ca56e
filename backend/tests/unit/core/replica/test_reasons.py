"""Why a read was made at the primary: each failure of the driver has one reason, and metrics know all of them."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import exc as sa

from core.metrics.catalogue import REPLICA_READS
from core.replica.reasons import PASSING, REASONS, reason_of


def of_state(state: str, text: str = "") -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new({"C": state, "M": text})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (of_state("40001", "canceling statement due to conflict with recovery"), "conflict"),
        (of_state("57014", "canceling statement due to conflict with recovery"), "conflict"),
        (of_state("57014", "canceling statement due to statement timeout"), "slow"),
        (sa.TimeoutError("no free connection"), "slow"),
        (of_state("57P01"), "unavailable"),
        (of_state("57P03", "the database system is not yet accepting connections"), "unavailable"),
        (of_state("25006"), "unavailable"),
        (of_state("42501", "permission denied"), "refused"),
        (of_state("42703", "no such column"), "refused"),
    ],
)
def test_each_failure_has_its_reason(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
    wrapped = sa.DBAPIError("SELECT", {}, error)
    assert reason_of(wrapped) == reason


def test_metrics_know_every_reason() -> None:
    assert PASSING < REASONS
    for reason in REASONS:
        REPLICA_READS.add("usage", reason)
    assert ("usage", "other") not in REPLICA_READS.read()
