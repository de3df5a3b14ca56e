"""The first process of a container ends on SIGTERM like any other.

The kernel ignores a signal for which process 1 has no handler. So a container that still waits for its database would
be killed only after its whole grace period. Processes that run bring handlers of their own later. See docs/adr/0060.
"""

from __future__ import annotations

import os
import signal

_CODE = 128 + signal.SIGTERM


def end_on_sigterm() -> None:
    """Give process 1 what every other process has: SIGTERM ends it at once."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(_CODE))
