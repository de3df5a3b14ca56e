"""One log per process: every logger, ours or a library's, writes one redacted line per record.

A module takes its logger with ``log = structlog.get_logger(__name__)``; the event of a line is a name in snake_case.
Lines go to standard error; standard output belongs to the command a user runs.
Message bodies are never logged; ids are.
"""

from __future__ import annotations

import logging
import re
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from core.config import Settings
from core.redaction import Redactor, secrets_of
from core.text import visible

_REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
_LONGEST_FIELD = 256
"""Characters. An id of a query has not been checked yet."""
_REQUEST_FIELDS: ContextVar[dict[str, str] | None] = ContextVar("request_fields", default=None)
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

_LIBRARIES = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "taskiq",
    "as",  # AgentScope's logger
    "agentscope",
    "sqlalchemy",
    "alembic",
    "httpx",
    "httpx2",
    "asyncio",
)
"""Loggers with their own handlers, or with too many lines."""

_QUIET = ("sqlalchemy", "httpx", "httpx2", "httpcore", "httpcore2", "asyncio", "alembic", "taskiq")
"""Loggers whose INFO lines are noise (a line for each hint), or contain URLs and SQL statements."""

_LEADING = ("timestamp", "level", "logger", "message")
_MANY_LINES = frozenset({"exception", "stack"})


_redactor = Redactor()
"""Of the process: what it learns stays, also when logging is configured again."""


def redacted(text: str) -> str:
    """Return a text as the log would have it: without secrets, and cut if it is long."""
    return _redactor.text(text)


def never_log(secrets: Iterable[str]) -> None:
    """Mask further secrets in every line of the process: those that are read after the settings."""
    _redactor.know(secrets)


def configure_logging(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send the records of every logger through one handler.

    May be called again, after the import of a library that installs its own handler (such as AgentScope).

    Args:
        settings: Format, level, and the secrets whose values must never be logged.
        stream: Destination of the lines. If absent, standard error.
    """
    _redactor.know(secrets_of(settings))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_request,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Last before rendering, so that nothing is added after it.
                _redact_with(_redactor),
                *_renderer(settings),
            ],
        )
    )
    _route(handler, settings.log_level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def current_request_id() -> str:
    """Return the id of the request being handled; empty outside of one."""
    return _REQUEST_ID.get()


@contextmanager
def request_id(candidate: str | None) -> Iterator[str]:
    """Handle a request under an id: the caller's id if it is safe, else a new id.

    A safe id has 8 to 64 of the characters ``A-Z a-z 0-9 . _ -``, which are harmless in a header, a log and a shell.
    """
    chosen = candidate if candidate and _SANE_ID.fullmatch(candidate) else uuid.uuid4().hex
    token, fields = _REQUEST_ID.set(chosen), _REQUEST_FIELDS.set({})
    try:
        yield chosen
    finally:
        _REQUEST_ID.reset(token)
        _REQUEST_FIELDS.reset(fields)


def note_request(**fields: str | None) -> None:
    """Add fields to every later line of the request being handled, the last one too; None and "" are left out.

    Tasks that the request starts share its fields. Outside of a request this does nothing.
    """
    known = _REQUEST_FIELDS.get()
    if known is not None:
        known.update({name: value[:_LONGEST_FIELD] for name, value in fields.items() if value})


def _route(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.captureWarnings(capture=True)


def _renderer(settings: Settings) -> list[Processor]:
    if settings.log_format == "json":
        return [structlog.processors.EventRenamer("message"), _in_order, structlog.processors.JSONRenderer()]
    return [_escape_controls, structlog.dev.ConsoleRenderer(colors=False)]


def _escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make every text harmless for a terminal: a path or an error text from outside may contain escape sequences.

    JSON escapes by itself, and so do lists and objects, which are shown as Python writes them. A traceback keeps its
    line breaks, but no line of it can look like a line of the log.
    """
    for name, value in event.items():
        if not isinstance(value, str):
            continue
        if name in _MANY_LINES:
            event[name] = "\n".join(f"    {visible(line)}" for line in value.split("\n"))
        else:
            event[name] = visible(value)
    return event


def _add_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if current := _REQUEST_ID.get():
        event.setdefault("request_id", current)
    for name, value in (_REQUEST_FIELDS.get() or {}).items():
        event.setdefault(name, value)
    return event


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # The fields of every line come first, so that raw lines are readable in a terminal.
    leading = {name: event.pop(name) for name in _LEADING if name in event}
    event.pop("color_message", None)  # uvicorn's message again, with escape codes
    return {**leading, **event}


def _redact_with(redactor: Redactor) -> Processor:
    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> dict[str, Any]:
        return {key: redactor.value(value, name=key) for key, value in event.items()}

    return redact
