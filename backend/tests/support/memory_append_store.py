"""The durable and the live side of the group commit, in memory, with faults to order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from core.agentscope.events.append_writer import AppendBatch, AppendResult
from core.agentscope.events.owned_run import Claim, OwnedRun, StreamBatch
from core.errors import StoreUnavailable

AppendFault = Literal["none", "lost", "unknown", "late"]
"""``lost``: nothing was written; ``unknown``: it was, and the answer did not come; ``late``: it is after the next look."""


@dataclass
class Row:
    """A run as the database has it."""

    attempt: int = 1
    running: bool = True
    cancel_requested: bool = False
    log: list[str] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(payload) for payload in self.log]


class MemoryAppendStore:
    """Twin of ``PostgresAppendStore``: all batches of a call are appended, or none.

    Args:
        run_pks: Runs that exist and are owned by attempt 1.
    """

    def __init__(self, run_pks: Iterable[int] = (1,)) -> None:
        self.rows: dict[int, Row] = {run_pk: Row() for run_pk in run_pks}
        self.calls: list[list[AppendBatch]] = []
        self.append_faults: deque[AppendFault] = deque()
        self.settle_faults: deque[bool] = deque()
        self.odd_settles = 0
        """So many of the next looks meet a fault that nobody foresaw."""
        self._late: list[AppendBatch] = []
        self.poisoned: set[int] = set()
        """Runs whose events no database takes."""
        self.too_slow: set[int] = set()
        """Runs with events that take longer than a statement may."""
        self.hold = asyncio.Event()
        """Cleared, a call waits before it does anything."""
        self.hold.set()
        self.held = asyncio.Event()
        """A call waits."""

    def owned(self, run_pk: int = 1) -> OwnedRun:
        row = self.rows[run_pk]
        return OwnedRun(run_pk, session_id=run_pk * 10, ordinal=3, attempt=row.attempt, last_seq=len(row.log))

    def go_away(self, calls: int, *, readable: bool = False) -> None:
        """Fail so many of the next calls; ``readable``: what was written can still be read."""
        for _ in range(calls):
            self.append_faults.append("lost")
            self.settle_faults.append(not readable)

    def come_back(self) -> None:
        self.append_faults.clear()
        self.settle_faults.clear()

    def fence(self, run_pk: int) -> None:
        """Let another worker take the run."""
        self.rows[run_pk].attempt += 1

    async def append(self, batches: Sequence[AppendBatch]) -> dict[Claim, AppendResult]:
        self.calls.append(list(batches))
        if not self.hold.is_set():
            self.held.set()
            await self.hold.wait()
        late, self._late = self._late, []
        if not self.poisoned & {batch.run_pk for batch in late}:
            self._write(late)
        fault = self.append_faults.popleft() if self.append_faults else "none"
        if fault == "lost":
            raise StoreUnavailable
        if fault == "late":
            self._late = list(batches)
            raise StoreUnavailable
        if self.too_slow & {batch.run_pk for batch in batches}:
            raise StoreUnavailable from TimeoutError()
        if self.poisoned & {batch.run_pk for batch in batches}:
            raise ValueError("not storable")
        results = self._write(batches)
        if fault == "unknown":
            raise StoreUnavailable
        return results

    async def owned_seqs(self, owned: Sequence[Claim]) -> dict[Claim, int]:
        if self.odd_settles:
            self.odd_settles -= 1
            raise RuntimeError("the server speaks of something else")
        if self.settle_faults and self.settle_faults.popleft():
            raise StoreUnavailable
        return {
            (run_pk, attempt): len(self.rows[run_pk].log)
            for run_pk, attempt in owned
            if self._owns(run_pk, attempt)
        }

    def _write(self, batches: Sequence[AppendBatch]) -> dict[Claim, AppendResult]:
        results: dict[Claim, AppendResult] = {}
        for batch in batches:
            row = self.rows[batch.run_pk]
            if not self._owns(batch.run_pk, batch.attempt) or len(row.log) != batch.base:
                continue
            results[batch.claim] = AppendResult(len(row.log), row.cancel_requested)
            row.log += batch.payloads
        return results

    def _owns(self, run_pk: int, attempt: int) -> bool:
        row = self.rows[run_pk]
        return row.running and row.attempt == attempt


class RecordingPublisher:
    """Shows events to nobody; refuses what is not durable or out of order."""

    def __init__(self, store: MemoryAppendStore) -> None:
        self._store = store
        self.shown: dict[int, list[str]] = {}
        """Payloads by run, in the order they were shown."""

    def publish(self, batches: Sequence[StreamBatch]) -> None:
        for batch in batches:
            run_pk = batch.session_id // 10
            shown = self.shown.setdefault(run_pk, [])
            first = batch.first_seq - 1
            assert first >= len(shown), "shown twice"
            assert batch.payloads == self._store.rows[run_pk].log[first : first + len(batch.payloads)], (
                "shown but not durable"
            )
            shown += batch.payloads
