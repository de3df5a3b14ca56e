"""How root starts a program that refuses to run as root: Postgres.

Neither way makes a user or changes a mode, and both work below a 0700 home:

1. In a user namespace, root is shown as ``nobody`` and stays root on disk.
2. Where namespaces are blocked (Docker's default profile), it becomes
   ``nobody`` and keeps one capability, to pass the modes of directories.

A user id without a name (some containers) takes the first way too: initdb
looks the name up.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from agentroute.embedded.child_process import run

NOBODY = 65534

_NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
_CAPABILITY = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    # Else access(2), with which Postgres looks for itself, ignores the capability.
    "--securebits=+no_setuid_fixup",
    "--",
)


@dataclass(frozen=True)
class Unprivileged:
    """How to start a program so that it does not see root."""

    prefix: tuple[str, ...]
    """Wrappers that ``exec`` the program; empty for a plain user."""
    owner: int
    """User id, as seen from here, that must own what the program writes."""


def as_nobody() -> Unprivileged | None:
    """Choose a way for this process; None when root has neither."""
    user = os.geteuid()
    if user != 0 and _has_name(user):
        return Unprivileged((), user)
    if _works(_NAMESPACE):
        return Unprivileged(_NAMESPACE, user)
    if user == 0 and _works(_CAPABILITY):
        return Unprivileged(_CAPABILITY, NOBODY)
    return None


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


@functools.cache
def _works(prefix: Sequence[str]) -> bool:
    if shutil.which(prefix[0]) is None:
        return False
    return run([*prefix, "true"]).returncode == 0
