"""Prices: exact sums, names as providers write them, and nothing ever free by mistake."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.agentscope.runtime.model.prices import ModelPrice, PricesInvalid, PriceTable, load_prices
from core.agentscope.runtime.model.token_counts import TokenCounts

BUNDLED = load_prices()
MILLION = 1_000_000


def table(path: Path, **models: Any) -> Path:
    path.write_text(json.dumps({"date": "2026-01-01", "source": "test", "models": models}))
    return path


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o-mini",
        "GPT-4o-mini",
        "gpt-4o-mini-2024-07-18",
        "openai/gpt-4o-mini",
        "openrouter/openai/gpt-4o-mini-2024-07-18",
    ],
)
def test_a_model_is_known_by_each_of_its_names(name: str) -> None:
    assert BUNDLED.cost(name, TokenCounts(input=MILLION, output=MILLION)) == Decimal("0.75")


@pytest.mark.parametrize(
    "name",
    ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4.5", "claude-sonnet-4-5@20250929"],
)
def test_dots_dashes_and_releases_are_the_same_model(name: str) -> None:
    assert BUNDLED.cost(name, TokenCounts(output=MILLION)) == 15


@pytest.mark.parametrize("name", ["", "gpt-4o-mini-audio", "llama-3", "gpt", "acme/unheard-of", "/"])
def test_an_unknown_model_has_no_price(name: str) -> None:
    assert BUNDLED.cost(name, TokenCounts(input=10, output=10)) is None


def test_the_demo_model_is_free_and_only_it() -> None:
    assert BUNDLED.cost("demo", TokenCounts(input=10, output=10)) == 0
    assert BUNDLED.cost("acme/demo", TokenCounts(input=10, output=10)) is None
    assert str(BUNDLED.cost("demo", TokenCounts(input=10, output=10))) == "0"


def test_cached_tokens_have_their_own_price() -> None:
    tokens = TokenCounts(input=1000, output=10, cached=800)
    assert BUNDLED.cost("gpt-4o", tokens) == Decimal("0.0005") + Decimal("0.001") + Decimal("0.0001")


def test_cached_tokens_without_a_price_cost_as_much_as_others() -> None:
    price = ModelPrice(input=Decimal(2), output=Decimal(3))
    assert price.of(TokenCounts(input=MILLION, cached=MILLION)) == 2


def test_written_cache_tokens_cost_their_price_or_make_the_cost_unknown() -> None:
    tokens = TokenCounts(input=MILLION, cache_write=MILLION)
    assert BUNDLED.cost("claude-sonnet-4-5", TokenCounts(input=100_000, cache_write=100_000)) == Decimal(
        "0.375"
    )
    assert ModelPrice(input=Decimal(2), output=Decimal(3)).of(tokens) is None


def test_a_prompt_longer_than_the_price_covers_has_an_unknown_cost() -> None:
    assert BUNDLED.cost("gemini-2.5-pro", TokenCounts(input=200_000)) == Decimal("0.25")
    assert BUNDLED.cost("gemini-2.5-pro", TokenCounts(input=200_001)) is None


@settings(deadline=None)  # a busy machine is not a failure
@given(
    tokens=st.builds(TokenCounts, *[st.integers(0, 10_000_000)] * 4),
    prices=st.tuples(*[st.decimals(0, 200, places=4)] * 4),
)
def test_a_cost_is_between_nothing_and_all_tokens_at_the_highest_price(
    tokens: TokenCounts, prices: tuple[Decimal, Decimal, Decimal, Decimal]
) -> None:
    price = ModelPrice(input=prices[0], output=prices[1], cached=prices[2], cache_write=prices[3])
    cost = price.of(tokens)
    assert cost is not None
    assert 0 <= cost * MILLION <= max(prices) * (tokens.input + tokens.output)


def test_a_table_of_ones_own_wins_over_the_bundled_one(tmp_path: Path) -> None:
    path = table(tmp_path / "prices.json", **{"My-Model": {"input": "1", "output": "2"}, "gpt-4o": None})
    prices = load_prices(path)
    assert prices.cost("my-model", TokenCounts(output=MILLION)) == 2
    assert prices.cost("gpt-4o", TokenCounts(output=1)) is None
    assert prices.cost("gpt-4o-2024-08-06", TokenCounts(output=1)) is None
    assert prices.cost("gpt-4o-mini", TokenCounts(output=MILLION)) == Decimal("0.6")


def test_a_table_is_read_once() -> None:
    assert load_prices() is load_prices()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"input": 0.15, "output": "1"}, "models.m.input: Value error, write the price as a string"),
        ({"input": "1"}, "models.m.output: Field required"),
        ({"input": "-1", "output": "1"}, "models.m.input"),
        ({"input": "NaN", "output": "1"}, "models.m.input"),
        ({"input": "1", "output": "1", "outptu": "1"}, "models.m.outptu: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_entry_is_named_with_its_file(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    path = table(tmp_path / "prices.json", m=entry)
    with pytest.raises(PricesInvalid) as caught:
        load_prices(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PricesInvalid, match="AGENT_MODEL__PRICES_PATH"):
        load_prices(tmp_path / "absent.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(PricesInvalid, match=r"broken\.json"):
        load_prices(broken)


def test_a_table_without_entries_knows_nothing() -> None:
    assert PriceTable({}).cost("gpt-4o", TokenCounts(output=1)) is None
