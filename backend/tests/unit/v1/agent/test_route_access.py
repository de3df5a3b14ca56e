"""Who may do what: every route of the application against every bad credential, and against foreign ids."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from agentroute.embedded_api.routes import router as embedded
from agentroute.page.built_files import BuiltFiles
from core.errors import Forbidden
from core.identity import LOCAL, Principal
from v1.agent.route_access import ACCESS, ADMIN, PUBLIC, READ, RUN, check_access

PAGE = {("GET", f"/{name}") for name in ("", *BuiltFiles().names())}


def routes(*places: Any) -> set[tuple[str, str]]:
    return {
        (method, route.path or "")
        for place in places
        for route in iter_route_contexts(place.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_the_table_has_every_route_and_no_other(app: FastAPI) -> None:
    found = routes(app, embedded)

    assert found - PAGE == ACCESS.keys() | PUBLIC.keys()
    assert not ACCESS.keys() & PUBLIC.keys()


def test_a_route_that_the_table_lacks_is_open_to_nobody() -> None:
    with pytest.raises(Forbidden):
        check_access(LOCAL, "GET", "/api/v1/agent/forgotten")


@pytest.mark.parametrize(
    ("scopes", "permitted"),
    [
        ({"run"}, {RUN}),
        ({"read"}, {READ}),
        ({"run", "read"}, {RUN, READ}),
        ({"admin"}, {ADMIN}),
        ({"agent:sales"}, set[Any]()),
        (set[str](), set[Any]()),
    ],
    ids=str,
)
def test_no_scope_implies_another(
    scopes: set[str], permitted: set[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {("GET", access.scope): access for access in (RUN, READ, ADMIN)}
    monkeypatch.setattr("v1.agent.route_access.ACCESS", rows)
    principal = Principal("t", "ada", scopes=frozenset(scopes))

    for (method, path), access in rows.items():
        if access in permitted:
            check_access(principal, method, path)
        else:
            with pytest.raises(Forbidden) as caught:
                check_access(principal, method, path)
            assert caught.value.members == {"scope": access.scope}
            assert f"'{access.scope}'" in caught.value.detail
