"""Asks a process of this machine whether it lives, and exits with 0 or 1: the health check of a container.

``python -m agentroute.healthcheck [PORT [PATH]]`` asks ``/healthz`` on ``AGENT_SERVER__ADMIN_PORT``, which always has
the probes, else on ``AGENT_SERVER__PORT`` (8000). It asks at the address on which the settings let that port listen. An
image with this needs no curl, and the check imports next to nothing: it runs every few seconds.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Sequence

_PLACES = ("SERVER__ADMIN_", "SERVER__", "METRICS__")
"""Settings with a port and its address."""
_SECONDS = 4.0
"""Less than the timeout of the check, so that the reason is in its log."""


def main(arguments: Sequence[str]) -> int:
    """Ask; print why not on standard error.

    Args:
        arguments: The port, then the path; both may be absent.
    """
    port, path = [*arguments, *("", "")[len(arguments) :]][:2]
    connection = http.client.HTTPConnection(*_address(port), timeout=_SECONDS)
    try:
        connection.request("GET", path or "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        print(f"no answer: {exc}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    if status != 200:
        print(f"status {status}", file=sys.stderr)
    return 0 if status == 200 else 1


def _address(port: str) -> tuple[str, int]:
    """Return the address of a port, or of that of the settings if it is empty."""
    known = {place: os.environ.get(f"AGENT_{place}PORT", "") for place in _PLACES}
    known["SERVER__"] = known["SERVER__"] or "8000"
    places = [place for place in _PLACES if known[place] and known[place] == (port or known[place])]
    host = os.environ.get(f"AGENT_{places[0]}HOST", "") if places else ""
    if not host.strip("0.:"):
        # It listens at every address.
        host = "::1" if ":" in host else "127.0.0.1"
    return host, int(port or known[places[0]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
