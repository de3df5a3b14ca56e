"""The ledger against the model's own book; ``python -m tests.faults.ledger`` plays a thousand runs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.faults.launcher import Ground
from tests.faults.ledger import Balance, compare, play, table

OWNERS = {"run-1": ("tenant-1", "ada")}


@pytest.mark.slow
async def test_every_call_the_model_served_is_in_the_ledger_once(ground: Ground) -> None:
    balance = await play(ground, 60)
    print(table(balance))
    assert balance.differences == []
    assert balance.kills > 0
    assert balance.ends["cancelled"] > 0
    assert balance.ends["model-stream-error"] > 0
    assert balance.exact > balance.estimated.total() > 0


def booked(**other: Any) -> dict[str, Any]:
    line = {"tenant_id": "tenant-1", "user_id": "ada", "model": "m", "call_id": "c-1", "run_id": "run-1"}
    counts = {"input_tokens": 7, "output_tokens": 3, "estimated": False, "outcome": "completed"}
    return line | counts | other


def served(**other: Any) -> dict[str, Any]:
    line = {"run_id": "run-1", "call_id": "c-1", "model": "m", "stage": "answer"}
    return line | {"tokens_in": 7, "tokens_out": 3, "completed": True} | other


@pytest.mark.parametrize(
    ("ledger", "model"),
    [
        ([booked()], [served()]),
        ([booked(estimated=True, outcome="failed", output_tokens=1)], [served(completed=False)]),
        ([booked(estimated=True, outcome="lost", output_tokens=0)], [served()]),
        ([booked(estimated=True, outcome="lost", output_tokens=0)], []),
        ([], []),
    ],
)
def test_books_that_agree(ledger: list[dict[str, Any]], model: list[dict[str, Any]]) -> None:
    balance = Balance()
    compare(ledger, model, OWNERS, balance)
    assert balance.differences == []


@pytest.mark.parametrize(
    ("ledger", "model"),
    [
        ([], [served()]),
        ([booked(), booked()], [served()]),
        ([booked()], [served(), served()]),
        ([booked(output_tokens=4)], [served()]),
        ([booked()], [served(completed=False)]),
        ([booked(user_id="bob")], [served()]),
        ([booked(model="other")], [served()]),
        ([booked(estimated=True)], [served()]),
        ([booked()], []),
    ],
)
def test_books_that_differ(ledger: list[dict[str, Any]], model: list[dict[str, Any]]) -> None:
    balance = Balance()
    compare(ledger, model, OWNERS, balance)
    assert balance.differences != []
