"""How long a run waits for each repair: what the reaper does, and what is said of a run that waits for it."""

from __future__ import annotations

from typing import Final

HINT_AGAIN_SECONDS: Final = 5.0
"""A queued run that was hinted again is hinted once more after this time."""
DEADLINE_GRACE_SECONDS: Final = 30.0
"""If a run exceeds its deadline by this time, the reaper ends the run without its worker."""
