"""A program in a real terminal: what it draws can be read, and keys can be pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

import pyte
from tests.support.limits import HUNG_SECONDS

from agentroute.terminal.shown import USER

CTRL_C = "\x03"
ENTER = "\r"

# The leader of the terminal's session, as the shell of a user is one. It outlives the program: when the leader of a
# session ends, Linux hangs up the terminal and throws away what nobody has read yet.
_LEADER = """
exec 3>&1 4<&0 <>"$1" >&0 2>&0
shift
trap : INT
"$@" 3>&- 4<&-
echo $? >&3
read -r _ <&4
"""


class PtySession:
    """The other side of the terminal.

    Attributes:
        raw: Every byte that the program has written.
    """

    def __init__(self, master: int, status: IO[bytes], columns: int, rows: int) -> None:
        self.raw = b""
        self._master = master
        self._status = status
        self._screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def text(self) -> str:
        """What a user sees who scrolls up to the start: the scrollback and the screen."""
        gone = [
            "".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top
        ]
        return "\n".join(line.rstrip() for line in [*gone, *self._screen.display]).rstrip()

    @property
    def last_line(self) -> str:
        """The line on which the cursor is, up to the cursor."""
        line = self._screen.display[self._screen.cursor.y]
        return line[: self._screen.cursor.x]

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def until(self, text: str, times: int = 1) -> None:
        """Read on until a text can be seen so many times."""
        self.until_true(lambda: self.text.count(text) >= times, f"{text!r} {times} times")

    def until_true(self, condition: Callable[[], bool], what: str) -> None:
        """Read on until a condition is true."""
        ends_at = time.monotonic() + HUNG_SECONDS
        while not condition():
            assert self._read(ends_at), f"without {what}:\n{self.text}"

    def until_prompt(self) -> None:
        """Read on until the program waits for a message."""
        self.until_true(lambda: self.last_line == USER, "a prompt")

    def wait(self) -> int:
        """Read to the end; returns the exit code, as a shell has it."""
        ends_at = time.monotonic() + HUNG_SECONDS
        while self._read(ends_at):
            pass
        assert _can_be_read(self._status), f"the program does not end:\n{self.text}"
        return int(self._status.readline())

    def _read(self, ends_at: float) -> bool:
        """Read a piece; says whether there was one before the end of the program and of the time."""
        left = max(0.0, ends_at - time.monotonic())
        # Asked once more: the program may have written, and then ended, after the first look at its terminal.
        select.select([self._master, self._status], [], [], left)
        piece = os.read(self._master, 1 << 16) if _can_be_read(self._master) else b""
        self.raw += piece
        self._stream.feed(piece)
        # A program that edits lines asks where the cursor is, and waits for the answer.
        for _ in range(piece.count(b"\x1b[6n")):
            self.press(f"\x1b[{self._screen.cursor.y + 1};{self._screen.cursor.x + 1}R")
        return bool(piece)


@contextmanager
def pty_session(
    arguments: list[str], env: Mapping[str, str] | None = None, *, columns: int = 100, rows: int = 30
) -> Iterator[PtySession]:
    """Run ``python -m agentroute …`` in a terminal of its own; it is killed at the end of the context."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    program = [sys.executable, "-m", "agentroute", *arguments]
    with subprocess.Popen(
        # The terminal that the leader of a new session opens is that of the session: Ctrl-C becomes a signal.
        ["/bin/sh", "-c", _LEADER, "sh", os.ttyname(slave), *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # COLUMNS and LINES would count for more than the size of the terminal.
        env={
            **{name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}},
            **{"TERM": "xterm-256color", "EDITOR": "", "VISUAL": "", **(env or {})},
        },
        start_new_session=True,
    ) as leader:
        try:
            assert leader.stdout is not None
            yield PtySession(master, leader.stdout, columns, rows)
        finally:
            os.killpg(leader.pid, signal.SIGKILL)
            os.close(slave)
            os.close(master)


def _can_be_read(file: int | IO[bytes]) -> bool:
    return bool(select.select([file], [], [], 0)[0])
