"""A program that follows something ends when nobody reads it any more, as ``tail -f`` does."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading


def end_without_reader() -> None:
    """End this process, as the signal SIGPIPE does, when the reader of its standard output is gone.

    A write would notice. But the next write may be hours away.
    """
    output = sys.stdout.fileno()
    if not stat.S_ISFIFO(os.fstat(output).st_mode):
        return
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    threading.Thread(target=_watch, args=(output,), name="reader-gone", daemon=True).start()


def _watch(output: int) -> None:
    watch = select.poll()
    # Errors are always told: of a pipe, that nobody has its other end.
    watch.register(output, 0)
    watch.poll()
    os.kill(os.getpid(), signal.SIGPIPE)
