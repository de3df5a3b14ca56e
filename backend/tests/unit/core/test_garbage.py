"""The collector rests while much is read, and works again afterwards."""

from __future__ import annotations

import gc

import pytest

from core.garbage import no_collections


def test_the_collector_rests_and_works_again() -> None:
    with no_collections():
        assert not gc.isenabled()
        with no_collections():
            pass
        assert not gc.isenabled(), "the inner one gives back what it found"
    assert gc.isenabled()


def test_the_collector_works_again_after_a_failure() -> None:
    with pytest.raises(ValueError, match="no state"), no_collections():
        raise ValueError("no state")
    assert gc.isenabled()
