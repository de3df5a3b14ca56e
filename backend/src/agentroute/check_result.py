"""What a check of a requirement says: for ``doctor``, and for the start of processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check."""

    name: str
    ok: bool
    found: str
    """What the check found, in a few words."""
    fix: str = ""
    """What to do; empty when ``ok``."""
    exit_code: int = 1
    """Exit code of a process that does not start because of this: 2 when a setting is wrong by itself."""

    @property
    def line(self) -> str:
        """The whole result as one line."""
        return f"{self.name}: {self.found}" + (f". {self.fix}" if self.fix else "")


def refused(name: str, line: str, reason: str = "") -> CheckResult:
    """Return the result of a check of settings that cannot be used.

    Args:
        name: Of the check.
        line: Of a ``ConfigurationError``: what is wrong, a colon, and what to do.
        reason: Why it is wrong here, in words that follow what is wrong.
    """
    found, _, fix = line.rstrip(".").partition(": ")
    return CheckResult(
        name, False, f"{found}{reason}", f"{fix[:1].upper()}{fix[1:]}." if fix else "", exit_code=2
    )
