"""Which secret is shown to whom when old tokens are replaced or withdrawn."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from core.connections.oauth.exchange import refresh, revoke
from core.connections.oauth.grants import Grant
from core.connections.oauth.http_edge import Answer, OAuthHttp
from core.connections.oauth.server import OAuthServer


class Endpoint(OAuthHttp):
    """Gives a token for everything, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: list[str | None] = []

    async def post_form(
        self, url: str, server: OAuthServer, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        assert url.startswith("https://old.example/")
        self.secrets.append(form.get("client_secret"))
        return Answer(200, b'{"access_token": "new", "token_type": "Bearer"}')


@pytest.mark.parametrize(
    ("client_id", "issuer", "shown"),
    [
        ("me", "https://old.example", "of today"),
        ("me", "https://old.example/", "of today"),
        ("me", "https://new.example", "of the grant"),
        ("another", "https://old.example", "of the grant"),
        ("me", None, "of the grant"),
        (None, "https://old.example", "of the grant"),
    ],
)
async def test_the_operators_secret_goes_to_the_issuer_that_the_profile_names(
    client_id: str | None, issuer: str | None, shown: str
) -> None:
    server = OAuthServer(
        "mail",
        "https://mcp.example/mcp",
        client_id=client_id,
        client_secret="of today",
        authorization_server=issuer,
    )
    grant = Grant(
        "a",
        "https://old.example",
        "https://old.example/token",
        server.resource,
        "me",
        refresh_token="r",
        revocation_endpoint="https://old.example/revoke",
        client_secret="of the grant",
        client_auth="client_secret_post",
    )
    endpoint = Endpoint()

    renewed, _ = await refresh(endpoint, server, grant)
    await revoke(endpoint, server, renewed)

    assert endpoint.secrets == [shown, shown]
    # What is stored stays as it was given.
    assert renewed.client_secret == "of the grant"
