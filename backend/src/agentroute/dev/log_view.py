"""Shows in the terminal what the user's own code writes and raises. The rest of the log stays in its files.

The processes write their log as always, one JSON object a line, without secrets. This reads along. A traceback is shown
in colour, and reduced to the lines of the user's own files; a warning, a line of the user's own logger and what the code
prints are shown as they are.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import watchfiles
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from core.redaction import Redactor, secret_forms
from core.text import visible

_OURS = re.compile(
    r"(agentroute|core|v1|models|uvicorn|taskiq|as|agentscope|sqlalchemy|alembic|httpx2?|httpcore2?|asyncio|mcp)(\.|$)"
)
"""Loggers whose ordinary lines are not shown."""
_LOUD = {"warning", "error", "critical"}
_TOLD = {"timestamp", "level", "logger", "message", "exception", "stack"}
_FRAME = re.compile(r'  File "(?P<path>[^"]+)", line (?P<line>\d+)')
_PLACE = re.compile(r"(?P<path>/[^\s:]+\.py):(?P<line>\d+): ")
_LONGEST_LINE = 2000
_CONTEXT_LINES = 2
_LOOK_SECONDS = 0.5
"""How often the logs are read where the system does not tell of changes."""
_END_SECONDS = 2.0


class LogView:
    """Follows the logs of the API and the workers in a thread, as a context manager.

    Args:
        logs: Folder of the log files.
        folder: Files below it are the user's own.
        console: Where the lines are shown; its colours are used.
        secrets: Values that are never shown.
    """

    def __init__(self, logs: Path, folder: Path, console: Console, secrets: Iterable[str] = ()) -> None:
        self._logs = logs
        self._folder = str(folder)
        self._console = console
        self._secrets: set[str] = set()
        self.hide(secrets)
        self._ends: dict[Path, int] = {}
        self._rests: dict[Path, bytes] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="log-view", daemon=True)

    def hide(self, secrets: Iterable[str]) -> None:
        """Never show these values, either, from now on."""
        self._secrets |= set(secrets)
        self._redactor = Redactor(form for secret in sorted(self._secrets) for form in secret_forms(secret))

    def __enter__(self) -> LogView:
        self._logs.mkdir(parents=True, exist_ok=True)
        # What earlier starts wrote is not shown.
        self._ends = {path: path.stat().st_size for path in self._files()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_END_SECONDS)
        self.read_on()

    def _follow(self) -> None:
        for _ in self._wakings():
            # A terminal that is gone ends the program; a thread that has ended shows nothing more.
            with suppress(OSError):
                self.read_on()

    def _wakings(self) -> Iterator[object]:
        """Yield when there may be something to read."""
        # Not an error of the system alone: the library has one of its own, where there are too many watchers.
        with suppress(OSError, RuntimeError):
            yield from watchfiles.watch(
                self._logs,
                watch_filter=lambda _change, path: path.endswith(".log"),
                debounce=100,
                step=30,
                stop_event=self._stop,
                recursive=False,
                raise_interrupt=False,
                yield_on_timeout=True,
            )
        # The system does not tell of changes, or has stopped to.
        while not self._stop.wait(_LOOK_SECONDS):
            yield None

    def read_on(self) -> None:
        """Show what was written since the last time."""
        with self._lock:
            for path in self._files():
                for line in self._new_lines(path):
                    self.show(path.stem.split("-")[0], line)

    def _files(self) -> list[Path]:
        return sorted([*self._logs.glob("worker*.log"), *self._logs.glob("api.log")])

    def _new_lines(self, path: Path) -> list[str]:
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                start = self._ends.get(path, 0)
                # Shorter: the file was moved away, and a new one was begun.
                file.seek(start if start <= size else 0)
                data = self._rests.pop(path, b"") + file.read()
                self._ends[path] = file.tell()
        except OSError:
            return []
        whole, newline, rest = data.rpartition(b"\n")
        self._rests[path] = rest
        return whole.decode(errors="replace").split("\n") if newline else []

    def show(self, process: str, line: str) -> None:
        """Show one line of a log, if it is for the user."""
        if not line.strip():
            return
        try:
            record: Any = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or "level" not in record:
            # The reason why a process does not start is said by whoever started it.
            if not line.startswith("error: "):
                self._print(Text.assemble((f"{process}: ", "dim"), self._shown(line)))
            return
        trace = str(record.get("exception", ""))
        own = str(record.get("logger", ""))
        if trace or record["level"] in _LOUD or not _OURS.match(own):
            self._print(self._headline(process, record))
        if trace:
            self.show_code(self.shortened(trace))

    def show_code(self, trace: str) -> None:
        """Show a traceback in colour."""
        code = Syntax(self._shown(trace, whole=True), "pytb", theme="ansi_dark", background_color="default")
        self._print(code)

    def show_failure(self, reason: str) -> None:
        """Show why code cannot be used, with the lines around the place if the reason names one."""
        self._print(Text.assemble(("error: ", "bold red"), self._shown(reason)))
        place = _PLACE.search(reason)
        if place is None or not place["path"].startswith(self._folder):
            return
        with suppress(OSError, UnicodeDecodeError):
            number = int(place["line"])
            self._print(
                Syntax(
                    Path(place["path"]).read_text(encoding="utf-8"),
                    "python",
                    theme="ansi_dark",
                    background_color="default",
                    line_numbers=True,
                    line_range=(max(1, number - _CONTEXT_LINES), number + _CONTEXT_LINES),
                    highlight_lines={number},
                )
            )

    def shortened(self, trace: str) -> str:
        """Return a traceback with the frames of the user's own files; the others are counted.

        A traceback without any frame of the user's keeps all of them.
        """
        lines = trace.splitlines()
        if not any(self._is_own(line) for line in lines):
            return trace
        kept: list[str] = []
        left_out, skips = 0, False
        for line in lines:
            if _FRAME.match(line):
                skips = not self._is_own(line)
                left_out += skips
            elif not line.startswith("    "):
                skips = False
            if skips:
                continue
            if left_out:
                kept.append(f"  ... {left_out} of AgentRoute and libraries")
                left_out = 0
            kept.append(line)
        return "\n".join(kept)

    def _is_own(self, line: str) -> bool:
        frame = _FRAME.match(line)
        if frame is None or not frame["path"].startswith(self._folder + "/"):
            return False
        return "/site-packages/" not in frame["path"]

    def _headline(self, process: str, record: dict[str, Any]) -> Text:
        level = str(record["level"])
        style = {"warning": "yellow", "error": "bold red", "critical": "bold red"}.get(level, "cyan")
        fields = " ".join(f"{name}={value}" for name, value in record.items() if name not in _TOLD)
        return Text.assemble(
            (f"{process}: ", "dim"),
            (f"{level}: ", style),
            self._shown(str(record.get("message", ""))),
            (f"  {self._shown(fields)}" if fields else "", "dim"),
        )

    def _shown(self, text: str, *, whole: bool = False) -> str:
        text = self._redactor.text(text)
        if whole:
            return "\n".join(visible(line) for line in text.split("\n"))
        return visible(text[:_LONGEST_LINE])

    def _print(self, what: Text | Syntax) -> None:
        # The reader of a pipe may be gone; this is no reason to stop.
        with suppress(OSError):
            self._console.print(what, soft_wrap=isinstance(what, Text))


def secret_values(env: Sequence[tuple[str, str]]) -> list[str]:
    """Return the values of variables whose names tell of a secret."""
    telling = re.compile(r"key|token|secret|passw|credential|dsn", re.IGNORECASE)
    return [value for name, value in env if telling.search(name) or "@" in value]
