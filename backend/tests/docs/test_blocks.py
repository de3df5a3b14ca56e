"""Every shell and Python block of the documentation does what its page says.

``tests/support/doc_blocks.py`` has the conventions. One service is there for all pages that start none of their own;
it is emptied between them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.doc_blocks import RUN, Block, blocks, pages
from tests.support.doc_session import PLAIN, SERVICES, PageSession
from tests.support.limits import HUNG_SECONDS

pytestmark = pytest.mark.slow


def run_blocks(page: str) -> list[Block]:
    """Return the blocks of a page that are run, and the files that they need."""
    return [each for each in blocks(page) if (each.file or each.language in RUN) and not each.not_run]


def talks(page: str) -> bool:
    """Whether a page talks to a service that it does not start, or starts ``script/run`` as it is."""
    for block in run_blocks(page):
        lines = [line.partition("#")[0].strip() for line in block.text.splitlines()]
        if PLAIN in lines:
            return True
        if any(SERVICES.search(line) for line in lines):
            return False
        if "127.0.0.1:8000" in block.text or "agentroute.client" in block.text:
            return True
    return False


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="agentroute-docs-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of a service as ``script/run`` starts it."""
    with short_folder() as folder, closing(PageSession(folder)) as session:
        session.run(Block("the service of all pages", 1, "sh", f"{PLAIN}\n"))
        assert session.address is not None
        yield session.address


def empty(address: str) -> None:
    """Delete the threads that a page has left: the next one may use the same ids."""
    with httpx.Client(base_url=f"http://{address}/api/v1/agent", timeout=HUNG_SECONDS) as client:
        for thread in client.get("/threads", params={"limit": 100}).json()["threads"]:
            client.delete(f"/threads/{thread['threadId']}").raise_for_status()


@pytest.mark.parametrize(
    "page", [page for page in pages() if any(block.language in RUN for block in run_blocks(page))]
)
def test_the_blocks_of_a_page_do_what_it_says(
    page: str, database_url: str, redis_url: str, request: pytest.FixtureRequest
) -> None:
    address = None
    if talks(page):
        address = request.getfixturevalue("service")
        empty(address)
    servers = {"AGENT_DATABASE__URL": database_url, "AGENT_REDIS__URL": redis_url}
    with short_folder() as folder, closing(PageSession(folder, address, servers)) as session:
        for block in run_blocks(page):
            session.run(block)
