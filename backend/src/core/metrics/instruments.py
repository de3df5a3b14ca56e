"""What a process counts, in its memory: plain numbers, whether anybody looks at them or not.

Rules:

1. To count is a lookup and an addition: no I/O, no lock, no library. ``agentroute.metrics`` imports one to show the
   numbers, in processes that are asked to show them.
2. Only the thread of the event loop counts. Any thread may read.
3. The values of a label are few and known. Whatever else comes is counted as ``other``, so no user, thread or run can
   become a label.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

OTHER = "other"

Known = Callable[[], frozenset[str]]
"""Returns the values that a label can have. A function: the codes of errors are known once their modules are imported."""


def one_of(*values: str) -> Known:
    """Return the values of a label that are known here."""
    known = frozenset(values)
    return lambda: known


class Counter:
    """A number that grows, one for each combination of its labels' values.

    Args:
        name: As Prometheus shows it, without ``_total``.
        about: One sentence.
        labels: The labels, in order, and which values each may have.
        from_zero: Show each combination from the start. Otherwise the first event of a kind is no growth to Prometheus,
            which has seen no number before it. Only for few combinations.
    """

    def __init__(
        self, name: str, about: str, labels: Mapping[str, Known] | None = None, *, from_zero: bool = False
    ) -> None:
        self.name = name
        self.about = about
        self.labels = tuple(labels or {})
        self._known = tuple((labels or {}).values())
        self._values: dict[tuple[str, ...], float] = (
            dict.fromkeys(product(*(sorted(known()) for known in self._known)), 0.0)
            if from_zero and labels
            else {}
        )

    def add(self, *values: str, amount: float = 1.0) -> None:
        """Count.

        Args:
            values: Of the labels, in their order.
            amount: Not negative.
        """
        counted = self._values
        if values not in counted:
            values = _bounded(values, self._known)
        counted[values] = counted.get(values, 0.0) + amount

    def read(self) -> dict[tuple[str, ...], float]:
        """Return what was counted by the values of the labels; without labels, always one number."""
        return self._values.copy() if self.labels else {(): 0.0} | self._values


@dataclass(slots=True)
class Distribution:
    """What a histogram has seen with the same labels."""

    counts: list[int]
    """Of each bucket alone, the one without a bound last."""
    total: float = 0.0


class Histogram:
    """How long something takes, in seconds: how many observations were at most as long as each bound.

    Args:
        name: As Prometheus shows it; ends with ``_seconds``.
        about: One sentence.
        bounds: Upper bounds of the buckets, ascending; one without a bound is added.
        labels: As those of a counter.
    """

    def __init__(
        self, name: str, about: str, bounds: Sequence[float], labels: Mapping[str, Known] | None = None
    ) -> None:
        self.name = name
        self.about = about
        self.bounds = tuple(bounds)
        self.labels = tuple(labels or {})
        self._known = tuple((labels or {}).values())
        self._seen: dict[tuple[str, ...], Distribution] = {}
        if not self.labels:
            self._seen[()] = Distribution([0] * (len(self.bounds) + 1))

    def observe(self, seconds: float, *values: str) -> None:
        """Note one duration. A negative one, of clocks that disagree, counts as none at all."""
        seen = self._seen.get(values)
        if seen is None:
            values = _bounded(values, self._known)
            seen = self._seen.setdefault(values, Distribution([0] * (len(self.bounds) + 1)))
        seconds = max(seconds, 0.0)
        seen.counts[bisect_left(self.bounds, seconds)] += 1
        seen.total += seconds

    def read(self) -> dict[tuple[str, ...], Distribution]:
        """Return what was seen by the values of the labels."""
        return {
            values: Distribution(seen.counts.copy(), seen.total) for values, seen in self._seen.copy().items()
        }


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that is read when somebody looks. Who knows it hands over a function with it: ``readings.py``.

    Args:
        name: As Prometheus shows it.
        about: One sentence.
        labels: The names of the labels.
    """

    name: str
    about: str
    labels: tuple[str, ...] = field(default=())


def _bounded(values: tuple[str, ...], known: tuple[Known, ...]) -> tuple[str, ...]:
    if len(values) != len(known):
        raise ValueError(f"{len(values)} values for {len(known)} labels")
    return tuple(value if value in allowed() else OTHER for value, allowed in zip(values, known, strict=True))
