"""Ranges and conditions of ``GET /files/{fileId}``, as a table."""

from __future__ import annotations

import pytest

from core.errors import RangeNotSatisfiable
from v1.agent.file_range import is_unchanged, wanted_range

TAG = '"abc"'
RANGES = {
    "": None,
    "bytes=0-0": (0, 1),
    "bytes=2-5": (2, 6),
    "bytes=5-": (5, 10),
    "bytes=-3": (7, 10),
    "bytes=-99": (0, 10),
    "bytes=2-99": (2, 10),
    "bytes=0-1,4-5": None,
    "bytes=5-2": None,
    "bytes=-": None,
    "items=0-1": None,
    "bytes=" + "9" * 40 + "-": None,
}


@pytest.mark.parametrize("header", RANGES)
def test_one_range_is_answered_and_anything_else_is_the_whole(header: str) -> None:
    assert wanted_range({"range": header}, TAG, 10) == RANGES[header]


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_behind_the_file_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        wanted_range({"range": header}, TAG, 10)


def test_a_range_of_other_bytes_is_the_whole() -> None:
    assert wanted_range({"range": "bytes=0-1", "if-range": '"other"'}, TAG, 10) is None
    assert wanted_range({"range": "bytes=0-1", "if-range": TAG}, TAG, 10) == (0, 2)


@pytest.mark.parametrize(
    ("header", "unchanged"),
    [(TAG, True), ('W/"abc"', True), ('"x", "abc"', True), ("*", True), ('"x"', False), ("", False)],
)
def test_known_bytes_are_not_sent_again(header: str, unchanged: bool) -> None:
    assert is_unchanged({"if-none-match": header}, TAG) is unchanged
