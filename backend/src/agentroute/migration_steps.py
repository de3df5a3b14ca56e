"""What the steps of migrations share: how a step that takes long leaves the service alone.

Imported by the files in ``alembic/versions``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op

LOCK_SECONDS = 2
"""How long a step waits for a lock of a table: whoever comes after it waits as long. Then all of the migration is undone
and tried again."""


@contextmanager
def concurrently() -> Iterator[None]:
    """Carry out what is inside statement by statement, each committed: indexes that are built ``CONCURRENTLY``.

    Such a statement blocks nobody, and waits for every transaction that is open, however long that takes. So no limit
    of a lock counts inside. What came before is committed; a failure inside is repaired by the next try, so every
    statement inside can be repeated.
    """
    with one_by_one():
        op.execute("SET lock_timeout = 0")
        yield
        op.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")


@contextmanager
def one_by_one() -> Iterator[None]:
    """Carry out what is inside statement by statement, each committed: changes of several tables that are in use.

    The service locks these tables, too, in an order of its own. Who holds one and waits for the next would sooner or
    later wait for a transaction that waits for the first. Every statement inside can be repeated.
    """
    with op.get_context().autocommit_block():
        yield
