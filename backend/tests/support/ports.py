"""Ports for processes that tests start and that cannot be given a socket."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_PORTS = range(20_000, 32_000)
"""Below the ports that Linux gives to whoever asks for any: no connection and no other server comes across one."""
_held: list[int] = []
"""Locks of the ports that this process has reserved: they go with it."""


def reserved_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and that no other test process is given.

    A port that was only found free is anybody's again: between the look and the start of a server, another takes it.
    """
    folder = Path(tempfile.gettempdir()) / f"agentroute-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(_PORTS, len(_PORTS)):
        lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # Per open file: a second reservation in this process is refused, too.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                # As servers do it: a connection that has ended a moment ago is no hindrance.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        _held.append(lock)
        return port
    raise OSError("no port is free")
