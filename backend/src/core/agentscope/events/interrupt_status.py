"""The statuses of an interrupt: ``open`` until it is answered, withdrawn or past its expiry; these three are final.

``cancelled`` is an answer (the client passes the question by), a new message in its place, or the cancel of its run.
An answer to an expired interrupt may still cancel it: that changes its status once more.
"""

from __future__ import annotations

from typing import Final

OPEN: Final = "open"
RESOLVED: Final = "resolved"
CANCELLED: Final = "cancelled"
EXPIRED: Final = "expired"

ALL: Final = (OPEN, RESOLVED, CANCELLED, EXPIRED)
