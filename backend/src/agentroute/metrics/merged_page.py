"""The pages of several processes as one, for an instance that has one address for all of them.

Each sample gets the label ``process``. Prometheus needs one: two samples with the same labels would be one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from agentroute.metrics.exposition import Page

LABEL = "process"


def merged_page(pages: Mapping[str, str], accept: str) -> Page:
    """Write one page of several.

    Args:
        pages: In the text format, by the name of the process; each ``is_page``.
        accept: The header of the request: which of the two formats is wanted.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(_families(pages)))
    encoder, media_type = choose_encoder(accept)
    return Page(encoder(registry), media_type)


def is_page(text: str) -> bool:
    """Whether a text is a page of metrics that can be merged."""
    try:
        return any(True for _ in text_string_to_metric_families(text))
    except ValueError:
        return False


class _Merged(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _families(pages: Mapping[str, str]) -> Iterable[Metric]:
    """Return each family once, with the samples of all processes, in the order in which they come."""
    merged: dict[str, Metric] = {}
    for process, page in pages.items():
        for family in text_string_to_metric_families(page):
            found = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            found.samples += [
                sample._replace(labels={**sample.labels, LABEL: process}) for sample in family.samples
            ]
    return merged.values()
