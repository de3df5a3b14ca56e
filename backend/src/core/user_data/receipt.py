"""The receipt of an erasure: one line for each store, also where there was nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.user_data.erasures import Erasure
from core.user_data.tables import (
    BOOKED,
    CHORES,
    CONNECTIONS,
    FILES,
    LOG,
    OF_NOBODY,
    OF_THREAD,
    OF_USER,
    STORED,
)

_KEPT = "for accounting: tenant, model, amounts and time; the user is taken out"
_LOGS = (
    "not touched: they have ids of threads, runs and keys, a hash of the user, and for whom API keys were made; "
    + "no contents"
)
_OUTSIDE = (
    ("files: bytes of", "file store: files", ""),
    ("redis: newest events of threads", "redis: newest events of threads", ""),
    ("redis: tickets and transcriptions", "redis: stream tickets and kept transcriptions", ""),
    ("redis: rates", "redis: rates", ""),
    ("grants: withdrawn", "authorization servers: logins withdrawn", ""),
    (
        "grants: not withdrawn",
        "authorization servers: logins not withdrawn",
        "they end by themselves, or at the server: it takes nothing back, or did not answer",
    ),
)
"""How the counts name them, how the receipt does, and what to say of them."""


@dataclass(frozen=True, slots=True)
class StoreLine:
    """What became of a store."""

    store: str
    removed: int = 0
    kept: int = 0
    """Rows that stay without the user."""
    note: str = ""


def receipt_lines(erasure: Erasure) -> list[StoreLine]:
    """Return the lines of an erasure: what was removed so far."""
    return list(_lines(erasure))


def _lines(erasure: Erasure) -> Iterator[StoreLine]:
    counts = erasure.counts
    removed = dict.fromkeys((LOG, *OF_THREAD, CHORES, FILES, CONNECTIONS, *OF_USER, *STORED))
    for table in removed:
        authors = counts.get(f"{table} (author)", 0)
        told = f"in {authors} rows of others, the user's name was taken out" if authors else ""
        yield StoreLine(f"postgres: {table}", removed=counts.get(table, 0), note=told)
    for table in BOOKED:
        yield StoreLine(f"postgres: {table}", kept=counts.get(f"{table} (kept)", 0), note=_KEPT)
    for table, why in OF_NOBODY.items():
        yield StoreLine(f"postgres: {table}", note=f"has nothing of users: {why}")
    for name, store, told in _OUTSIDE:
        count = counts.get(name, 0)
        yield StoreLine(store, removed=count, note=told if count else "")
    yield StoreLine("logs", note=_LOGS)
