"""The ledger's line of a call: where cost and tokens come from, and when."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from core.agentscope.runtime.model.chat_meter import CallMeter
from core.agentscope.runtime.model.chat_stream import ChatStreamParser
from core.agentscope.runtime.model.prices import ModelPrice, PriceTable

PRICES = PriceTable(
    {
        "m-1": ModelPrice(input=Decimal(1), output=Decimal(2)),
        "asked": ModelPrice(input=Decimal(5), output=Decimal(5)),
    }
)
BODY = {"messages": [{"role": "user", "content": "12345678"}]}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def answer(*documents: dict[str, Any]) -> ChatStreamParser:
    parser = ChatStreamParser()
    for document in documents:
        parser.feed(b"data: " + orjson.dumps(document) + b"\n\n")
    return parser


def chunk(text: str = "", finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish}]} | members


COUNTED = {"prompt_tokens": 1000, "completion_tokens": 500}


@pytest.mark.parametrize(
    ("usage", "model", "header", "cost", "source"),
    [
        (COUNTED | {"cost": 0.5}, "m-1", Decimal(9), Decimal("0.5"), "stream"),
        (COUNTED | {"cost": 0}, "m-1", Decimal(9), Decimal(0), "stream"),
        (COUNTED, "m-1", Decimal(9), Decimal(9), "header"),
        (COUNTED, "m-1", None, Decimal("0.002"), "price-table"),
        (COUNTED, "unheard-of", None, Decimal("0.0075"), "price-table"),
    ],
)
def test_the_first_source_that_names_a_cost_wins(
    usage: dict[str, Any], model: str, header: Decimal | None, cost: Decimal, source: str
) -> None:
    meter = CallMeter("report", "acme", "asked", Clock())
    parser = answer(chunk(finish="stop", model=model, usage=usage))
    line = meter.usage(parser, "completed", body=BODY, prices=PRICES, header_cost=header)
    assert (line.cost, line.cost_source, line.model, line.stage, line.provider) == (
        cost,
        source,
        model,
        "report",
        "acme",
    )


def test_no_source_is_unknown_and_not_free() -> None:
    line = CallMeter("intent", "acme", "x", Clock()).usage(
        answer(chunk(finish="stop", usage=COUNTED)), "completed", body=BODY, prices=PRICES
    )
    assert (line.cost, line.cost_source) == (None, "unknown")


def test_counts_of_an_unfinished_answer_are_a_lower_bound() -> None:
    early = {"prompt_tokens": 7, "completion_tokens": 1}
    parser = answer(chunk("a", usage=early), chunk("12345678"))
    line = CallMeter("execution", "acme", "m-1", Clock()).usage(parser, "cancelled", body=BODY, prices=PRICES)
    assert (line.estimated, line.input_tokens, line.output_tokens) == (True, 7, 3)


def test_a_call_without_any_answer_costs_its_request() -> None:
    line = CallMeter("execution", "acme", "m-1", Clock()).usage(answer(), "failed", body=BODY, prices=PRICES)
    assert (line.input_tokens, line.output_tokens, line.cost) == (2, 0, Decimal("0.000002"))
    assert line.ttft_ms is None


def test_times_are_taken_once() -> None:
    clock = Clock()
    meter = CallMeter("execution", "acme", "m-1", clock)
    for step in (meter.first_delta, meter.first_delta, meter.stop, meter.stop):
        clock.now += 0.25
        step()
    line = meter.usage(answer(), "completed", body=BODY, prices=PRICES)
    assert (line.ttft_ms, line.latency_ms) == (250, 750)


def test_every_call_has_an_id_of_its_own() -> None:
    assert len({CallMeter("execution", "acme", "m-1", Clock()).call_id for _ in range(100)}) == 100
