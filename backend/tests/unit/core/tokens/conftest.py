"""An issuer over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.token_issuer import TokenIssuer, serve_issuer


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    with serve_issuer() as served:
        yield served
