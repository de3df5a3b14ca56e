"""How root starts what refuses root: not as root, and below a directory that only root may enter."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from agentroute.embedded import unprivileged
from agentroute.embedded.child_process import dying_with_parent, run
from agentroute.embedded.unprivileged import NOBODY, as_nobody

_as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root has something to give up"
)


@_as_root
@pytest.mark.parametrize("way", ["_NAMESPACE", "_CAPABILITY"])
def test_the_program_is_nobody_and_still_sees_what_root_sees(tmp_path: Path, way: str) -> None:
    prefix: tuple[str, ...] = getattr(unprivileged, way)
    if not unprivileged._works(prefix):
        pytest.skip(f"{prefix[0]} is not allowed here")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").touch(mode=0o600)

    # test(1) asks access(2), as Postgres does.
    script = f"id -u; test -r {closed}/file && test -w {closed} && echo open"
    done = run([*prefix, *dying_with_parent(["sh", "-c", script], signal.SIGKILL)])

    assert done.stdout == f"{NOBODY}\nopen\n"


@_as_root
@pytest.mark.parametrize(
    ("allowed", "first", "owner"),
    [({"unshare", "setpriv"}, "unshare", 0), ({"setpriv"}, "setpriv", NOBODY)],
)
def test_a_user_namespace_is_preferred(
    monkeypatch: pytest.MonkeyPatch, allowed: set[str], first: str, owner: int
) -> None:
    monkeypatch.setattr(unprivileged, "_works", lambda prefix: prefix[0] in allowed)

    way = as_nobody()

    assert way is not None
    assert way.prefix[0] == first
    assert way.owner == owner


@_as_root
def test_without_any_way_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "_works", lambda _prefix: False)

    assert as_nobody() is None


@pytest.mark.parametrize(("named", "prefix"), [(True, ()), (False, unprivileged._NAMESPACE)])
def test_only_a_plain_user_with_a_name_needs_nothing(
    monkeypatch: pytest.MonkeyPatch, named: bool, prefix: tuple[str, ...]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setattr(unprivileged, "_has_name", lambda _user: named)
    monkeypatch.setattr(unprivileged, "_works", lambda way: way[0] == "unshare")

    way = as_nobody()

    assert way is not None
    assert way.prefix == prefix
    assert way.owner == 4242
