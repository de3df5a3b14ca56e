"""The service sends what ``contract/`` has: a change of the wire shows here, and in the diff of the vectors.

When it was meant, ``script/contract`` writes them anew; then the apps that read them have to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
from tests.support.contract_recorder import Json
from tests.support.contract_scenarios import ALL, record
from tests.support.contract_vectors import VECTORS, vectors
from tests.support.limits import HUNG_SECONDS
from tests.support.record_contract import differences

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recordings(service: str) -> Iterator[dict[str, Future[Json]]]:
    """The recordings of all scenarios, made three at a time: most of each is waiting."""
    with httpx.Client(base_url=service, timeout=HUNG_SECONDS) as http, ThreadPoolExecutor(3) as threads:
        yield {name: threads.submit(record, http, name) for name in ALL}


@pytest.mark.parametrize("name", ALL)
def test_the_service_sends_what_the_vector_has(name: str, recordings: dict[str, Future[Json]]) -> None:
    diff = differences(vectors()[name], recordings[name].result())

    assert diff == [], "\n".join(diff)


def test_no_vector_is_left_over() -> None:
    assert {path.stem for path in VECTORS.glob("*.json")} == set(ALL)
