"""Every shell and Python block of the documentation does what its page says.

``tests/support/doc_blocks.py`` has the conventions. One service is there for all pages that start none of their own,
and for those that start the same; it is emptied between them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.doc_blocks import RUN, Block, blocks, pages
from tests.support.doc_session import SERVICES, PageSession
from tests.support.limits import HUNG_SECONDS

pytestmark = pytest.mark.slow

PLAIN = "script/run"
SHARED = (PLAIN, "AGENT_PROFILE_PATH=examples/two_agents/agents script/run")
"""Commands of several pages whose services are started once."""


def run_blocks(page: str) -> list[Block]:
    """Return the blocks of a page that are run, and the files that they need."""
    return [each for each in blocks(page) if (each.file or each.language in RUN) and not each.not_run]


def talks(page: str) -> bool:
    """Whether a page talks to a service that it does not start."""
    for block in run_blocks(page):
        if SERVICES.search(block.text):
            return False
        if "127.0.0.1:8000" in block.text or "agentroute.client" in block.text:
            return True
    return False


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="agentroute-docs-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class SharedServices:
    """The services that several pages need: started once, for the first that asks, and kept."""

    def __init__(self, programs: Path, stack: ExitStack) -> None:
        self._programs = programs
        self._stack = stack
        self._addresses: dict[str, str] = {}

    def find(self, command: str) -> str | None:
        """Return the address of an empty service that this command would start, if it is shared."""
        if command not in SHARED:
            return None
        if command not in self._addresses:
            folder = self._stack.enter_context(short_folder())
            session = self._stack.enter_context(closing(PageSession(folder, self._programs)))
            session.run(Block("a service of several pages", 1, "sh", f"{command}\n"))
            assert session.address is not None
            self._addresses[command] = session.address
        empty(self._addresses[command])
        return self._addresses[command]


@pytest.fixture(scope="module")
def services(programs: Path) -> Iterator[SharedServices]:
    with ExitStack() as stack:
        yield SharedServices(programs, stack)


def empty(address: str) -> None:
    """Delete the threads that a page has left: the next one may use the same ids."""
    with httpx.Client(base_url=f"http://{address}/api/v1/agent", timeout=HUNG_SECONDS) as client:
        for thread in client.get("/threads", params={"limit": 100}).json()["threads"]:
            client.delete(f"/threads/{thread['threadId']}").raise_for_status()


@pytest.mark.parametrize(
    "page", [page for page in pages() if any(block.language in RUN for block in run_blocks(page))]
)
def test_the_blocks_of_a_page_do_what_it_says(
    page: str, programs: Path, services: SharedServices, database_url: str, redis_url: str
) -> None:
    address = services.find(PLAIN) if talks(page) else None
    servers = {"AGENT_DATABASE__URL": database_url, "AGENT_REDIS__URL": redis_url}
    with (
        short_folder() as folder,
        closing(PageSession(folder, programs, address, servers, services.find)) as session,
    ):
        for block in run_blocks(page):
            session.run(block)
