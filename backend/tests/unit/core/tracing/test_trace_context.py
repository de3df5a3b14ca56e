"""The header ``traceparent``: what counts, what counts as none, and what is sent on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.tracing.trace_context import TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_the_example_of_the_specification() -> None:
    found = TraceContext.read(f"00-{TRACE}-{SPAN}-01")
    assert found == TraceContext(TRACE, SPAN, sampled=True)
    assert str(found) == f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n\r-x",
    ],
)
def test_what_counts_as_none(header: str | None) -> None:
    assert TraceContext.read(header) is None


def test_a_later_version_may_have_more() -> None:
    assert TraceContext.read(f"01-{TRACE}-{SPAN}-03-more") == TraceContext(TRACE, SPAN, sampled=True)
    assert TraceContext.read(f"00-{TRACE}-{SPAN}-00") == TraceContext(TRACE, SPAN, sampled=False)


@given(st.text())
def test_no_text_is_a_fault(header: str) -> None:
    found = TraceContext.read(header)
    assert found is None or TraceContext.read(str(found)) == found
