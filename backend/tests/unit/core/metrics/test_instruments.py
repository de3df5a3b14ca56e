"""Counters and histograms: what they add up, and that no value of a label is made up."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metrics.catalogue import COUNTERS, HISTOGRAMS, PROBLEMS
from core.metrics.instruments import OTHER, Counter, Histogram, one_of


def test_a_counter_adds_up_by_its_labels() -> None:
    counter = Counter("n", "About.", {"kind": one_of("a", "b")})

    counter.add("a")
    counter.add("b", amount=2.5)
    counter.add("a")

    assert counter.read() == {("a",): 2.0, ("b",): 2.5}


def test_a_rare_event_is_there_before_it_happens_so_that_its_first_time_is_growth() -> None:
    counter = Counter("n", "About.", {"kind": one_of("a", "b")}, from_zero=True)
    assert counter.read() == {("a",): 0.0, ("b",): 0.0}


def test_a_counter_without_labels_is_there_before_anything_was_counted() -> None:
    counter = Counter("n", "About.")
    assert counter.read() == {(): 0.0}
    counter.add(amount=3)
    assert counter.read() == {(): 3.0}


@given(st.lists(st.text(), max_size=50))
def test_however_many_values_come_a_label_has_those_that_are_known_and_one_more(values: list[str]) -> None:
    counter = Counter("n", "About.", {"kind": one_of("a", "b")})

    for value in values:
        counter.add(value)

    assert {value for (value,) in counter.read()} <= {"a", "b", OTHER}
    assert sum(counter.read().values()) == len(values)


def test_a_wrong_number_of_labels_is_a_fault() -> None:
    with pytest.raises(ValueError, match="2 values for 1 labels"):
        Counter("n", "About.", {"kind": one_of("a")}).add("a", "b")


@given(st.lists(st.floats(-1, 100)))
def test_each_duration_is_in_the_first_bucket_that_is_as_long(durations: list[float]) -> None:
    histogram = Histogram("n_seconds", "About.", (0.5, 1.0, 10.0))

    for seconds in durations:
        histogram.observe(seconds)

    seen = histogram.read()[()]
    lengths = [max(seconds, 0.0) for seconds in durations]
    expected = [
        sum(low < seconds <= high for seconds in lengths)
        for low, high in ((-1, 0.5), (0.5, 1.0), (1.0, 10.0), (10.0, float("inf")))
    ]
    assert seen.counts == expected
    assert seen.total == pytest.approx(sum(lengths))


def test_what_was_read_does_not_change_afterwards() -> None:
    histogram = Histogram("n_seconds", "About.", (1.0,))
    before = histogram.read()[()]
    histogram.observe(0.1)
    assert before.counts == [0, 0]


def test_no_label_can_name_a_user_a_thread_or_a_run() -> None:
    for instrument in (*COUNTERS, *HISTOGRAMS):
        assert set(instrument.labels).isdisjoint({"user", "tenant", "thread", "run", "id", "model"})
        # Each label has a function that names its values: there is no free text.
        assert len(instrument._known) == len(instrument.labels)
        assert all("run-1" not in known() for known in instrument._known)


def test_a_code_that_is_none_of_ours_is_another_one() -> None:
    before = PROBLEMS.read().get(("503", OTHER), 0.0)
    PROBLEMS.add("503", "made-up-by-somebody")
    assert PROBLEMS.read()["503", OTHER] == before + 1


def test_counting_imports_no_library() -> None:
    program = "import core.metrics.catalogue, sys; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
