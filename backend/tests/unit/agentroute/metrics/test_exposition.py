"""The page for Prometheus: read back by the parsers of its own library."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from agentroute.metrics.exposition import Exposition, Process
from agentroute.metrics.store_gauges import STORE_GAUGES
from core.metrics.catalogue import APPEND_SECONDS, COUNTERS, HISTOGRAMS, OPEN_STREAMS, POOL_CONNECTIONS

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def exposition(process: Process = "api") -> Exposition:
    return Exposition(
        process, lambda: {OPEN_STREAMS: lambda: 7, POOL_CONNECTIONS: lambda: {"used": 2, "free": 3}}
    )


def test_both_formats_are_whole() -> None:
    text = exposition().page("", {})
    families = {family.name: family for family in read_text(text.content.decode())}
    assert text.media_type.startswith("text/plain")

    opened = exposition().page(OPENMETRICS, {})
    assert opened.media_type.startswith("application/openmetrics-text")
    assert {family.name for family in read_openmetrics(opened.content.decode())} >= {
        instrument.name for instrument in (*COUNTERS, *HISTOGRAMS)
    }

    assert [sample.value for sample in families["agentroute_open_streams"].samples] == [7]
    assert {
        sample.labels["state"]: sample.value for sample in families["agentroute_pool_connections"].samples
    } == {
        "used": 2,
        "free": 3,
    }
    assert "process_resident_memory_bytes" in families


def test_a_histogram_counts_up_to_each_bound() -> None:
    def samples() -> dict[str, float]:
        page = exposition().page("", None).content.decode()
        [family] = [each for each in read_text(page) if each.name == APPEND_SECONDS.name]
        return {sample.labels.get("le", sample.name): sample.value for sample in family.samples}

    before = samples()
    APPEND_SECONDS.observe(0.003)
    APPEND_SECONDS.observe(99.0)
    after = samples()

    grown = {bound: after[bound] - before[bound] for bound in after}
    assert grown["0.002"] == 0
    assert grown["0.005"] == grown["10.0"] == 1
    assert grown["+Inf"] == grown["agentroute_append_seconds_count"] == 2
    assert grown["agentroute_append_seconds_sum"] == pytest.approx(99.003)


def test_a_database_that_cannot_be_read_is_said_and_leaves_no_old_figures() -> None:
    names = {each.gauge.name for each in STORE_GAUGES}

    def shown(store: dict[object, object] | None) -> dict[str, float]:
        page = exposition().page("", store).content.decode()  # pyright: ignore[reportArgumentType]
        return {sample.name: sample.value for family in read_text(page) for sample in family.samples}

    away = shown({})
    assert away["agentroute_store_up"] == 0
    assert names.isdisjoint(away)
    read = shown({each.gauge: {tuple("x" for _ in each.gauge.labels): 4.0} for each in STORE_GAUGES})
    assert read["agentroute_store_up"] == 1
    assert {read[name] for name in names} == {4.0}
    # A worker has no such figures.
    assert "agentroute_store_up" not in shown(None)
