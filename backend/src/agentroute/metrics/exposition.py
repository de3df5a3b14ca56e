"""Shows what a process counts to Prometheus. Only this file and ``merged_page`` import its library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from agentroute.metrics.store_gauges import Readings
from core.metrics.catalogue import BUILD, COUNTERS, HISTOGRAMS, STORE_UP
from core.metrics.instruments import Counter, Gauge, Histogram
from core.metrics.readings import Reading

Process = Literal["api", "worker"]


@dataclass(frozen=True, slots=True)
class Page:
    """What Prometheus gets."""

    content: bytes
    media_type: str


class Exposition:
    """Writes the page of a process.

    Args:
        process: Which kind of process it is.
        gauges: Returns the gauges that the process knows now.
    """

    def __init__(self, process: Process, gauges: Callable[[], Mapping[Gauge, Reading]]) -> None:
        self._process: Process = process
        self._gauges = gauges

    def page(self, accept: str, store: Mapping[Gauge, Readings] | None) -> Page:
        """Write the page.

        Args:
            accept: The header of the request: which of the two formats is wanted.
            store: The figures of the database; empty if it could not be read, None if the process shows none.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Families(self._families(store)))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        encoder, media_type = choose_encoder(accept)
        return Page(encoder(registry), media_type)

    def _families(self, store: Mapping[Gauge, Readings] | None) -> Iterator[Metric]:
        for counter in COUNTERS:
            yield _counter(counter)
        for histogram in HISTOGRAMS:
            yield _histogram(histogram)
        for gauge, read in self._gauges().items():
            found = read()
            yield _gauge(
                gauge,
                {(label,): number for label, number in found.items()}
                if isinstance(found, Mapping)
                else {(): found},
            )
        yield _gauge(BUILD, {(version("agentroute"), self._process): 1.0})
        if store is not None:
            yield _gauge(STORE_UP, {(): float(bool(store))})
            for gauge, readings in store.items():
                yield _gauge(gauge, readings)


class _Families(Collector):
    def __init__(self, families: Iterator[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _counter(counter: Counter) -> Metric:
    family = CounterMetricFamily(counter.name, counter.about, labels=counter.labels)
    for values, number in counter.read().items():
        family.add_metric(values, number)
    return family


def _histogram(histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.about, labels=histogram.labels)
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    for values, seen in histogram.read().items():
        reached, buckets = 0, list[tuple[str, float]]()
        for bound, count in zip(bounds, seen.counts, strict=True):
            reached += count
            buckets.append((bound, reached))
        family.add_metric(values, buckets, seen.total)
    return family


def _gauge(gauge: Gauge, readings: Readings) -> Metric:
    family = GaugeMetricFamily(gauge.name, gauge.about, labels=gauge.labels)
    for values, number in readings.items():
        family.add_metric(values, number)
    return family
