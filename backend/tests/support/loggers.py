"""Tests that configure the logging of their process, and give it back as it was."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog


class _State(NamedTuple):
    level: int
    propagate: bool
    disabled: bool
    handlers: list[logging.Handler]


@contextmanager
def loggers_kept() -> Iterator[None]:
    """Give the process its loggers back at the end."""
    before = {logger: _state(logger) for logger in _loggers()}
    try:
        yield
    finally:
        for logger in _loggers():
            now = _state(logger)
            # Of one that is new, handlers are its library's.
            kept = before.get(logger, now._replace(level=logging.NOTSET))
            if now != kept:
                _restore(logger, kept)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()


def _loggers() -> list[logging.Logger]:
    root = logging.getLogger()
    named = list(root.manager.loggerDict.values())
    return [root, *(logger for logger in named if isinstance(logger, logging.Logger))]


def _state(logger: logging.Logger) -> _State:
    return _State(logger.level, logger.propagate, logger.disabled, logger.handlers[:])


def _restore(logger: logging.Logger, kept: _State) -> None:
    logger.handlers[:] = kept.handlers
    logger.propagate, logger.disabled = kept.propagate, kept.disabled
    # Each call empties the caches of all loggers, so there is none that changes nothing.
    if logger.level != kept.level:
        logger.setLevel(kept.level)
