"""Makes the kernel notice that the peer of an idle TCP connection is gone: no reset, no answer, packets dropped.

Without these options, Linux keeps such a connection for two hours, and sends unacknowledged bytes again for a quarter
of an hour. Limits of time for single answers are set elsewhere: a peer whose kernel acknowledges everything and whose
process never answers is alive for TCP.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final

# Probes begin after 10 s of silence, the peer counts as gone 10 s later: a third of a lease is over by then, not all of it.
_WANTED: Final = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 3,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 20_000,  # milliseconds
}

OPTIONS: Final[dict[int, int]] = {
    number: value for name, value in _WANTED.items() if isinstance(number := getattr(socket, name, None), int)
}
"""Option of ``IPPROTO_TCP`` → value; those that this platform has (Linux has all)."""


def watch_peer(sock: Any) -> None:
    """Switch the options on for a socket; sockets other than TCP, and options the system refuses, are left alone."""
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in OPTIONS.items():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
