"""Lets the collector of cycles rest while very many objects are made at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Iterator[None]:
    """Keep the collector from looking through a conversation again and again while it is read.

    Every 700 new objects call it, and a conversation of thousands of messages is tens of thousands of objects, none of
    which is garbage. For code without waiting only. Other threads may do the same meanwhile.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
