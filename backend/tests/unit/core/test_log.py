"""One redacted line a record, from every logger."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.support.loggers import loggers_kept

import core
from core.config import Settings
from core.log import configure_logging, current_request_id, request_id

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ"
CANARIES: list[tuple[str, str]] = [
    (f"Authorization: Bearer {JWT}", JWT),
    (f"token was {JWT}, sorry", "c2lnbmF0dXJlLWNhbmFyeQ"),
    ("Authorization: Basic Y2FuYXJ5OmNhbmFyeQ==", "Y2FuYXJ5"),
    ("{'authorization': 'canary-scheme canary-value'}", "canary"),
    ("Cookie: session=canary-cookie; other=canary2", "canary"),
    ("key sk-canary1234567890abcdef was refused", "canary1234567890"),
    ("Incorrect API key provided: sk-ant-api03-canary_1234567890", "canary_123"),
    ("api_key=canary-key-1234&x=1", "canary-key"),
    ('{"password": "canary-pass"}', "canary-pass"),
    ("cannot connect to postgresql://agent:canary-pw@db:5432/agent", "canary-pw"),
    ("postgresql+asyncpg://agent:can@ry:pw@db/agent", "can@ry"),
    ("redis://:canary-redis@cache:6379/0 is down", "canary-redis"),
    ("ghp_canary1234567890abcdefghij", "canary1234"),
    ("AKIACANARY0123456789", "CANARY0123456789"),
    ("-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----", "Y2FuYXJ5"),
]


class Holder:
    """An object whose text holds a secret."""

    def __str__(self) -> str:
        return "Holder(sk-canary1234567890)"

    __repr__ = __str__


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    with loggers_kept():
        yield


def configured(**settings: Any) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(Settings(**settings), stream=stream)
    return stream


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def test_a_line_is_json_with_level_logger_time_and_request() -> None:
    stream = configured()

    with request_id("req-12345678"):
        structlog.get_logger("core.test").info("run_accepted", run_id="run-1")

    line = only_line(stream)
    assert line["message"] == "run_accepted"
    assert (line["level"], line["logger"], line["run_id"]) == ("info", "core.test", "run-1")
    assert line["request_id"] == "req-12345678"
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "name", ["uvicorn.error", "taskiq.worker", "agentscope.agent", "sqlalchemy.engine", "alembic", "anyone"]
)
def test_library_loggers_end_in_the_same_lines(name: str) -> None:
    stream = configured()

    logging.getLogger(name).warning("slow: %s", "sk-canary1234567890", extra={"attempt": 2})

    line = only_line(stream)
    assert (line["logger"], line["message"], line["attempt"]) == (name, "slow: [redacted]", 2)


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.access", "taskiq", "as", "sqlalchemy", "alembic"])
def test_a_library_loses_the_handler_it_brought(name: str) -> None:
    library = logging.getLogger(name)
    own = logging.StreamHandler(io.StringIO())
    library.addHandler(own)
    library.propagate = False

    stream = configured()
    library.warning("said")

    assert only_line(stream)["message"] == "said"
    assert own.stream.getvalue() == ""


def _loggers_of_http_clients() -> list[str]:
    """Return the loggers of what the installed libraries of providers ask with: their lines hold whole URLs."""
    needed = {
        re.split(r"[^A-Za-z0-9]", each)[0]
        for library in ("openai", "anthropic")
        for each in requires(library) or ()
    }
    return sorted(name for name in needed if name.startswith(("httpx", "httpcore")))


def test_talkative_libraries_are_quiet() -> None:
    stream = configured(log_level="INFO")

    for name in (
        "sqlalchemy.engine",
        "httpx",
        "asyncio",
        "taskiq.receiver.receiver",
        *_loggers_of_http_clients(),
    ):
        logging.getLogger(name).info("SELECT canary")

    assert stream.getvalue() == ""


def test_the_level_is_the_settings() -> None:
    stream = configured(log_level="WARNING")

    structlog.get_logger("a").info("quiet")
    logging.getLogger("uvicorn").info("quiet")
    structlog.get_logger("a").warning("loud")

    assert only_line(stream)["message"] == "loud"


@pytest.mark.parametrize(("text", "secret"), CANARIES, ids=[secret[:20] for _, secret in CANARIES])
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_credential_reaches_a_line(text: str, secret: str, log_format: str) -> None:
    stream = configured(log_format=log_format)
    log = structlog.get_logger("core.test")

    log.info(text)
    log.info("in_value", value=text, nested={"list": [text], "set": {text}})
    log.info("in_key", nested={text: 1})
    logging.getLogger("library").warning("said %s", text)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("library").exception("failed")

    assert stream.getvalue().count("[redacted]") >= 6
    assert secret not in stream.getvalue()


@pytest.mark.parametrize(
    "name", ["authorization", "Cookie", "password", "jwt_secret", "api_key", "x-api-key", "access_token"]
)
def test_a_secret_name_masks_its_whole_value(name: str) -> None:
    stream = configured()

    structlog.get_logger("core.test").info(
        "settings", **{name: "any old words"}, nested={name: ["any old words"]}
    )

    assert "any old words" not in stream.getvalue()


def test_counts_of_tokens_are_no_secret() -> None:
    stream = configured()

    structlog.get_logger("core.test").info("usage", input_tokens=12, token_count=3)

    line = only_line(stream)
    assert (line["input_tokens"], line["token_count"]) == (12, 3)


def test_objects_are_redacted_like_text() -> None:
    stream = configured()

    structlog.get_logger("core.test").info("object", held=Holder(), many=[Holder()])

    assert "canary" not in stream.getvalue()


def test_secrets_of_the_settings_are_masked_whatever_they_look_like() -> None:
    stream = configured(
        identity={"jwt_secret": "plain words of thirty-two bytes and more"},
        model={"api_key": "company_key_without_any_shape"},
        database={"url": "postgresql://agent:p%40ss%3Aword@db/agent"},
    )
    log = structlog.get_logger("core.test")

    log.info("1", value="x plain words of thirty-two bytes and more x")
    log.info("2", value="x company_key_without_any_shape x")
    log.info("3", value="x p@ss:word x, x p%40ss%3Aword x")

    lines = [json.loads(line)["value"] for line in stream.getvalue().splitlines()]
    assert lines == ["x [redacted] x", "x [redacted] x", "x [redacted] x, x [redacted] x"]


def test_ordinary_words_stay() -> None:
    stream = configured()
    text = "GET /api/v1/agent/events 200 https://example.com/a?b=c user@example.com risk-free basic tokens"

    structlog.get_logger("core.test").info(text)

    assert only_line(stream)["message"] == text


def test_warnings_are_lines_too() -> None:
    stream = configured()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old sk-canary1234567890", stacklevel=1)

    assert "canary" not in stream.getvalue()
    assert "old [redacted]" in stream.getvalue()


def test_configuring_again_adds_no_second_handler() -> None:
    configured()
    stream = configured()

    structlog.get_logger("core.test").info("once")

    assert only_line(stream)["message"] == "once"


@pytest.mark.parametrize("candidate", ["abcdef12", "A.b_c-" + "0" * 58])
def test_a_sane_request_id_is_kept(candidate: str) -> None:
    with request_id(candidate) as chosen:
        assert chosen == candidate == current_request_id()
    assert current_request_id() == ""


@pytest.mark.parametrize(
    "candidate", [None, "", "short", "a" * 65, "has space 12", "line\nbreak1", "ünïcödé1", "a;rm -rf 12"]
)
def test_any_other_request_id_is_replaced(candidate: str | None) -> None:
    with request_id(candidate) as chosen:
        assert chosen != candidate
        assert len(chosen) == 32


SOURCE = Path(core.__file__ or "").parents[1]
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


def logging_calls() -> Iterator[tuple[str, str, str]]:
    """Yield place, name of the logger and event of every line that our code logs with a literal event."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=logger), attr=level), args=[event, *_]
                ) if level in LEVELS and "log" in logger:
                    for text in ast.walk(event):
                        if isinstance(text, ast.Constant) and isinstance(text.value, str):
                            yield f"{path.relative_to(SOURCE)}:{node.lineno}", logger, text.value
                case _:
                    pass


def test_every_module_calls_its_logger_log_and_names_events_in_snake_case() -> None:
    calls = list(logging_calls())

    assert len(calls) > 50
    assert [call for call in calls if call[1] != "log" or not re.fullmatch(r"[a-z][a-z0-9_]*", call[2])] == []


HOSTILE = "/\x1b[31mforged\x9b2J\x7f\u202e\u2028\r\n2026-11-27T00:00:00Z [info] forged"


def test_the_console_log_shows_control_characters_and_never_sends_them() -> None:
    stream = configured(log_format="console")
    log = structlog.get_logger("core.test")

    log.info("request", path=HOSTILE, method=HOSTILE, nested={HOSTILE: [HOSTILE]}, thing=Exception(HOSTILE))
    log.warning(HOSTILE)
    logging.getLogger("uvicorn.error").warning("bad %s", HOSTILE)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("failed", stack_info=True)

    lines = stream.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("2026-11-27T00:00:00Z") for line in lines)
    assert "\\x1b[31mforged\\x9b2J\\x7f\\u202e\\u2028\\r\\n" in stream.getvalue()


def test_the_console_log_leaves_words_as_they_are() -> None:
    stream = configured(log_format="console")

    structlog.get_logger("core.test").info("request", title="Grüße an 日本 🎉")

    assert "Grüße an 日本 🎉" in stream.getvalue()
