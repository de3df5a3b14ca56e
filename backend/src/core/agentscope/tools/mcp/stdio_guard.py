"""The parent of an MCP server that a worker starts: ends it, with everything it started, when the worker is gone.

A worker that is killed cannot end its servers. Most end by themselves when their input ends; one that does not, or
whose own children do not, would run on for ever. Run as ``python -I -m``, with the worker's process id and then the
command. Standard input and output belong to the server alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

_LOOK_SECONDS = 1.0
_GRACE_SECONDS = 2.0
_NOT_STARTED = 127


def main(arguments: list[str]) -> int:
    """Run the command until it ends; returns its exit code."""
    worker, command = int(arguments[0]), arguments[1:]
    # The worker ends a server by a signal to the whole group. The guard goes last.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server = subprocess.Popen(command)  # noqa: S603  the operator's own command
    except OSError as exc:
        print(f"cannot start {command[0]}: {exc.strerror}", file=sys.stderr)
        return _NOT_STARTED
    # The server has them now: a pipe that the guard held open would never end.
    os.close(0)
    os.close(1)
    threading.Thread(target=_watch, args=(worker,), daemon=True).start()
    code = server.wait()
    _end_group()
    return code


def _watch(worker: int) -> None:
    while os.getppid() == worker:
        time.sleep(_LOOK_SECONDS)
    os.killpg(0, signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _end_group() -> None:
    """End what the server left behind. The guard is in the group, and ignores this signal."""
    with contextlib.suppress(OSError):
        os.killpg(0, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
