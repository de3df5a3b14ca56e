"""The settings of schedules."""

from __future__ import annotations

from pydantic import Field

from core.settings_section import SettingsSection


class ScheduleSettings(SettingsSection):
    """Runs that are fired by the clock."""

    max_per_user: int = Field(default=100, ge=0)
    """Schedules of a user that have not ended; 0: nobody makes any. As many that have ended are kept."""
    min_interval_seconds: int = Field(default=60, ge=1)
    """The shortest time between two fires of a schedule."""
    authorized_days: int = Field(default=90, ge=0)
    """How long a schedule fires that was made or last changed with a token; 0: for ever. API keys end by themselves."""
