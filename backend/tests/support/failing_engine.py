"""A database engine whose every transaction meets an error, and the errors that waiting loops have to tell apart."""

from __future__ import annotations

from typing import Any, Self

import asyncpg
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InvalidRequestError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine


def wrapped(kind: type[DBAPIError], error: Exception) -> DBAPIError:
    """Return an error of the driver as SQLAlchemy raises it."""
    return kind("SELECT 1", {}, error)


AWAY = wrapped(DBAPIError, asyncpg.AdminShutdownError("terminating connection"))

OURS: tuple[Exception, ...] = (
    wrapped(ProgrammingError, asyncpg.UndefinedColumnError("no such column")),
    wrapped(IntegrityError, asyncpg.UniqueViolationError("twice")),
    wrapped(DataError, asyncpg.CharacterNotInRepertoireError("not a character")),
    InvalidRequestError("not in a transaction"),
    OSError("a file of ours"),
    TimeoutError("a limit of ours"),
    ValueError("ours"),
)
"""Faults that no repetition mends."""


class FailingEngine:
    """Counts the transactions that are begun; each fails with the next of the errors, the last one for ever."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.begun = 0

    def as_engine(self) -> AsyncEngine:
        engine: Any = self
        return engine

    def execution_options(self, **_options: Any) -> Self:
        return self

    def begin(self) -> Self:
        return self

    connect = begin

    async def __aenter__(self) -> Self:
        self.begun += 1
        raise self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]

    async def __aexit__(self, *_error: object) -> None:
        return None
