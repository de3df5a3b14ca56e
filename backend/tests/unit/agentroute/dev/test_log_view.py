"""What a developer sees of the log: their own lines and tracebacks, without secrets and control characters."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import watchfiles
from rich.console import Console
from tests.support.limits import HUNG_SECONDS
from watchfiles._rust_notify import WatchfilesRustInternalError

from agentroute.dev import log_view
from agentroute.dev.log_view import LogView, secret_values

TRACE = """Traceback (most recent call last):
  File "/lib/agentroute/spec.py", line 1, in call
    return await self.handler()
           ^^^^^^^^^^^^^^^^^^^^
  File "/lib/agentroute/tool.py", line 2, in handler
    return function()
  File "/shop/tools.py", line 3, in find
    raise ValueError(key)
ValueError: shop-secret-1"""

CASES = [
    ("a print", "hello \x1b[2J", ["worker: hello \\x1b[2J"]),
    ("the reason of an end", "error: tools.py is broken", []),
    ("a line of ours", {"level": "info", "logger": "agentroute.worker", "message": "worker_ready"}, []),
    ("a line of a library", {"level": "info", "logger": "uvicorn.error", "message": "Started"}, []),
    (
        "a line of theirs",
        {"level": "info", "logger": "tools", "message": "found", "order": 7},
        ["worker: info: found  order=7"],
    ),
    ("a warning", {"level": "warning", "logger": "core.x", "message": "slow"}, ["worker: warning: slow"]),
    (
        "a traceback",
        {"level": "error", "logger": "core.x", "message": "tool_failed", "tool": "find", "exception": TRACE},
        [
            "worker: error: tool_failed  tool=find",
            "Traceback (most recent call last):",
            "  ... 2 of AgentRoute and libraries",
            '  File "/shop/tools.py", line 3, in find',
            "    raise ValueError(key)",
            "ValueError: [redacted]",
        ],
    ),
]


def view(folder: Path, *, colours: bool = False) -> tuple[LogView, io.StringIO]:
    written = io.StringIO()
    console = Console(file=written, width=200, force_terminal=colours, highlight=False)
    env = [("SHOP_KEY", "shop-secret-1"), ("SHOP_NAME", "tool_failed")]
    return LogView(folder, Path("/shop"), console, secret_values(env)), written


@pytest.mark.parametrize(("line", "shown"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_shown(tmp_path: Path, line: str | dict[str, object], shown: list[str]) -> None:
    log, written = view(tmp_path)

    log.show("worker", line if isinstance(line, str) else json.dumps(line))

    assert [each.rstrip() for each in written.getvalue().splitlines()] == shown


def test_a_failure_shows_the_place_in_colour(tmp_path: Path) -> None:
    log, written = view(tmp_path, colours=True)
    log._folder = str(tmp_path)
    (tmp_path / "tools.py").write_text("one = 1\ntwo = (\nthree = 3\n", encoding="utf-8")

    log.show_failure(f"agent.toml: tools:find: {tmp_path}/tools.py:2: SyntaxError: '(' was never closed")

    assert "\x1b[" in written.getvalue()
    assert "❱ " in written.getvalue()
    assert "three" in written.getvalue()


def test_the_logs_are_followed_from_where_they_are_also_in_a_new_file(tmp_path: Path) -> None:
    log, written = view(tmp_path)
    (tmp_path / "worker.log").write_text("of an earlier start\n", encoding="utf-8")
    with log:
        with (tmp_path / "worker.log").open("a", encoding="utf-8") as file:
            file.write("one\ntw")
        log.read_on()
        with (tmp_path / "worker.log").open("a", encoding="utf-8") as file:
            file.write("o\n")
        (tmp_path / "worker-2.log").write_text("three\n", encoding="utf-8")
        log.read_on()
        (tmp_path / "worker.log").write_text("four\n", encoding="utf-8")

    assert sorted(written.getvalue().split("\n")) == [
        "",
        *(f"worker: {word}" for word in ("four", "one", "three", "two")),
    ]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), WatchfilesRustInternalError("Too many")]
)
def test_where_the_system_cannot_tell_of_lines_the_logs_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refused(*_folders: Path, **_options: object) -> Iterator[object]:
        raise error

    monkeypatch.setattr(watchfiles, "watch", refused)
    monkeypatch.setattr(log_view, "_LOOK_SECONDS", 0.01)
    log, written = view(tmp_path)
    give_up_at = time.monotonic() + HUNG_SECONDS
    with log:
        for word in ("one", "two"):
            with (tmp_path / "worker.log").open("a", encoding="utf-8") as file:
                file.write(f"{word}\n")
            while word not in written.getvalue():
                assert time.monotonic() < give_up_at
                time.sleep(0.01)
    assert not log._thread.is_alive()
