"""The query and the answer of ``GET /usage``: a user's usage in a period. Plain data, no I/O.

Costs are decimal strings: docs/adr/0009.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from core.agentscope.schemas.messages import WireModel

Grouping = Literal["day", "model", "thread"]

DEFAULT_DAYS = 30
MAX_DAYS = 366

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")


class PeriodInvalid(ValueError):
    """A period that is not valid. ``name`` is the invalid parameter."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    """From ``start`` (included) to ``end`` (excluded); both UTC."""

    start: datetime
    end: datetime

    @classmethod
    def parse(cls, start: str | None, end: str | None, *, now: datetime) -> UsagePeriod:
        """Read a period.

        Args:
            start: An RFC 3339 date (from its first moment on, UTC) or instant; 30 days before the end when absent.
            end: A date (the whole of it counts) or an instant; ``now`` when absent.
            now: Aware.

        Raises:
            PeriodInvalid: A value is not a date or an instant, or the period is empty or longer than 366 days.
        """
        last = now.astimezone(UTC) if end is None else _moment("to", end, whole_day=True)
        try:
            first = (
                last - timedelta(days=DEFAULT_DAYS)
                if start is None
                else _moment("from", start, whole_day=False)
            )
        except OverflowError as exc:
            raise PeriodInvalid("to", "too early") from exc
        if first >= last:
            raise PeriodInvalid("from", "must be before 'to'")
        if last - first > timedelta(days=MAX_DAYS):
            raise PeriodInvalid("from", f"at most {MAX_DAYS} days before 'to'")
        return cls(first, last)


def _moment(name: str, text: str, *, whole_day: bool) -> datetime:
    is_date = _DATE.fullmatch(text) is not None
    if not is_date and not _INSTANT.fullmatch(text):
        raise PeriodInvalid(
            name, "write a date like 2026-11-22, or an instant like 2026-11-22T18:00:00Z (a + as %2B)"
        )
    try:
        at = datetime.fromisoformat(text.upper())
        if is_date:
            return at.replace(tzinfo=UTC) + timedelta(days=1 if whole_day else 0)
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise PeriodInvalid(name, "this time does not exist") from exc


class Percentiles(WireModel):
    """Latency in milliseconds: the median and the 95th percentile."""

    p50: int
    p95: int


class CallTotals(WireModel):
    """Sums over model calls."""

    calls: int
    estimated_calls: int = Field(
        description="Calls without token counts from the provider, because the call was cut off or cancelled."
    )
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: str | None = Field(description="Sum of the known costs, as a decimal. Null if no cost is known.")
    unknown_cost_calls: int = Field(description="Calls of unknown cost. Unknown is not 0.")
    model_ms: int = Field(description="Sum of the durations of the calls.")
    latency_ms: Percentiles | None = Field(description="Of completed calls. Null if there is none.")
    ttft_ms: Percentiles | None = Field(description="Time to the first delta. Null if no delta arrived.")


class DayTotals(CallTotals):
    day: str = Field(description="UTC.")


class ModelTotals(CallTotals):
    provider: str
    model: str


class ThreadTotals(CallTotals):
    thread_id: str | None = Field(description="Null stands for all threads that were deleted since.")
    title: str | None


class TranscriptionTotals(WireModel):
    """Sums over transcriptions, which belong to no thread."""

    calls: int
    audio_ms: int
    cost: str | None
    unknown_cost_calls: int


class DayTranscriptions(TranscriptionTotals):
    day: str


class ModelTranscriptions(TranscriptionTotals):
    provider: str
    model: str


class TranscriptionUsage(WireModel):
    totals: TranscriptionTotals
    rows: list[DayTranscriptions | ModelTranscriptions]
    """By the same key as the model calls; none by thread."""


class StoredUsage(WireModel):
    """What is stored for the caller now, whatever the period."""

    bytes: int = Field(description="Files, messages, shared state and notes.")
    limit_bytes: int | None = Field(description="What the caller may store. Null is no limit of its own.")


class UsageResponse(WireModel):
    """The caller's usage from ``from`` on, up to and without ``to``."""

    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")
    group_by: Grouping
    currency: str = "USD"
    totals: CallTotals
    rows: list[DayTotals | ModelTotals | ThreadTotals]
    """Days in order; models and threads by cost, then by tokens."""
    truncated: bool
    """There are more rows than these; ``totals`` counts all."""
    transcriptions: TranscriptionUsage
    stored: StoredUsage

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; here ``null`` says "unknown" or "none"."""
        return self.model_dump(mode="json", by_alias=True)
