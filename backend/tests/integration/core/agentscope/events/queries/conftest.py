"""An API process whose runs do what the tests of a file say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.manual_worker import Scene, manual_worker
from tests.support.stack import OpenStack


@pytest.fixture(scope="module")
async def scene(open_stack: OpenStack) -> AsyncIterator[Scene]:
    async with open_stack(workers=0) as stack, manual_worker(stack.settings) as worker:
        yield Scene(stack, worker)
