from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.tools.result_text import fit_text, result_text

any_text = st.text(st.characters(exclude_categories=()))  # with NUL and surrogates


@given(any_text, st.integers(min_value=40, max_value=200))
def test_fitted_text_is_valid_and_never_too_long(text: str, max_bytes: int) -> None:
    fitted = fit_text(text, max_bytes)

    assert len(fitted.encode()) <= max_bytes
    assert "\x00" not in fitted


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",))), st.integers(40, 200))
def test_text_that_fits_is_unchanged_and_other_text_keeps_its_beginning(text: str, max_bytes: int) -> None:
    fitted = fit_text(text, max_bytes)
    size = len(text.encode())

    if size <= max_bytes:
        assert fitted == text
    else:
        kept, _, marker = fitted.rpartition("\n")
        assert text.startswith(kept)
        assert marker == f"[truncated: {len(kept.encode())} of {size} bytes]"


@pytest.mark.parametrize("character", ["x", "ü", "\x00"])
def test_huge_text_takes_memory_for_the_kept_part_only(character: str) -> None:
    text = character * (50 << 20)
    tracemalloc.start()
    try:
        fit_text(text, 256 << 10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 << 20


@dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (Point(1.5), '{"x": 1.5}'),
        ([datetime(2026, 1, 2, tzinfo=UTC)], '["2026-01-02T00:00:00Z"]'),
        (Decimal("1.10"), '"1.10"'),
        ((1, 2), "[1, 2]"),
        (True, "true"),
        (float("nan"), "null"),
    ],
)
def test_values_have_a_json_form(value: object, text: str) -> None:
    assert result_text(value) == text


def test_value_without_a_json_form_is_an_error() -> None:
    circle: list[object] = []
    circle.append(circle)

    with pytest.raises(ValueError, match="it has no JSON form"):
        result_text(circle)
