"""Every shell and Python block of the documentation does what its page says.

``tests/support/doc_blocks.py`` has the conventions. One service is there for all pages that start none of their own;
it is emptied between them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.doc_blocks import RUN, Block, blocks, pages
from tests.support.doc_session import SERVICES, PageSession
from tests.support.embedded_service import embedded_service
from tests.support.limits import HUNG_SECONDS

pytestmark = pytest.mark.slow


def run_blocks(page: str) -> list[Block]:
    """Return the blocks of a page that are run, and the files that they need."""
    return [each for each in blocks(page) if (each.file or each.language in RUN) and not each.not_run]


def talks(page: str) -> bool:
    """Whether a page talks to a service that it does not start."""
    for block in run_blocks(page):
        if SERVICES.search(block.text):
            return False
        if "127.0.0.1:8000" in block.text:
            return True
    return False


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="agentroute-docs-") as folder,
        embedded_service(Path(folder)) as url,
    ):
        yield url


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="agentroute-docs-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def empty(service: str) -> None:
    """Delete the threads that a page has left: the next one may use the same ids."""
    with httpx.Client(base_url=service, timeout=HUNG_SECONDS) as client:
        for thread in client.get("/threads", params={"limit": 100}).json()["threads"]:
            client.delete(f"/threads/{thread['threadId']}").raise_for_status()


@pytest.mark.parametrize("page", [page for page in pages() if any(b.language in RUN for b in run_blocks(page))])
def test_the_blocks_of_a_page_do_what_it_says(
    page: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    address = None
    if talks(page):
        url: str = request.getfixturevalue("service")
        empty(url)
        address = httpx.URL(url).netloc.decode()
    session = PageSession(folder, address)
    try:
        for block in run_blocks(page):
            session.run(block)
    finally:
        session.close()
