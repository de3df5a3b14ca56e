"""Costs as proxies send them: sums of doubles, read back to the last digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.runtime.model.token_counts import parse_cost

_per_million = st.integers(0, 200_000).map(lambda thousandths: Decimal(thousandths) / 1000)
_tokens = st.integers(0, 2_000_000)


@given(
    counts=st.tuples(_tokens, _tokens, _tokens), prices=st.tuples(_per_million, _per_million, _per_million)
)
def test_a_sum_of_doubles_is_read_as_tokens_times_prices(
    counts: tuple[int, int, int], prices: tuple[Decimal, Decimal, Decimal]
) -> None:
    per_token = [float(price / 1_000_000) for price in prices]
    sent = sum(count * price for count, price in zip(counts, per_token, strict=True))
    received: Any = orjson.loads(orjson.dumps(sent))

    exact = sum(count * price for count, price in zip(counts, prices, strict=True)) / 1_000_000
    assert parse_cost(received) == exact


@pytest.mark.parametrize(
    ("sent", "cost"),
    [
        (0.30000000000000004, "0.3"),
        ("1.2999999999999998e-05", "0.000013"),
        ("0.100811000002", "0.100811000002"),
        (0, "0"),
        (12, "12"),
    ],
)
def test_a_cost_keeps_every_digit_that_was_meant(sent: Any, cost: str) -> None:
    assert parse_cost(sent) == Decimal(cost)


@pytest.mark.parametrize(
    "sent", [None, True, "", "free", -1, float("inf"), float("nan"), {}, [], 1_000_000, "1e300", 10**400]
)
def test_what_is_no_amount_is_unknown(sent: Any) -> None:
    assert parse_cost(sent) is None
