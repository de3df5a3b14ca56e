"""What a server and its authorization server say, as tables of addresses and answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from core.connections.oauth.discovery import LoginPlace, discover
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.http_edge import Answer, OAuthHttp, check_scheme
from core.connections.oauth.metadata import issuer_metadata_urls, resource_metadata_urls
from core.connections.oauth.registration import given_client, register
from core.connections.oauth.server import OAuthServer

MCP = "https://m.example/mail/mcp"
WELL_KNOWN = "https://m.example/.well-known/oauth-protected-resource"
ISSUER = "https://a.example/tenant"
OAUTH = "https://a.example/.well-known/oauth-authorization-server"


def server(**members: Any) -> OAuthServer:
    return OAuthServer("mail", members.pop("url", MCP), **members)


class World(OAuthHttp):
    """A web of answers by address; everything else is 404."""

    def __init__(self, answers: Mapping[str, Any], challenge: str = "") -> None:
        super().__init__()
        self.answers = answers
        self.challenge = challenge
        self.asked: list[str] = []
        self.sent: Mapping[str, object] = {}

    async def get(self, url: str, server: OAuthServer) -> Answer:
        self.asked.append(url)
        found = self.answers.get(url)
        if found is None:
            return Answer(404, b"")
        return found if isinstance(found, Answer) else Answer(200, json.dumps(found).encode())

    async def post_json(
        self,
        url: str,
        server: OAuthServer,
        members: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        self.sent = members
        if url == MCP:
            return Answer(401, b"", self.challenge)
        return Answer(201, json.dumps(self.answers[url]).encode())


def resource(**members: Any) -> dict[str, Any]:
    return {"resource": MCP, "authorization_servers": [ISSUER], **members}


def authority(issuer: str = ISSUER, **members: Any) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "code_challenge_methods_supported": ["S256"],
        **members,
    }


def test_the_places_of_metadata_are_those_of_the_standards() -> None:
    assert resource_metadata_urls(server(), "https://x.example/y") == [
        "https://x.example/y",
        f"{WELL_KNOWN}/mail/mcp",
        WELL_KNOWN,
    ]
    assert resource_metadata_urls(server(url="https://u:p@m.example/"), "") == [WELL_KNOWN]
    assert issuer_metadata_urls("https://a.example/") == [
        OAUTH,
        "https://a.example/.well-known/openid-configuration",
    ]
    assert issuer_metadata_urls(ISSUER) == [
        f"{OAUTH}/tenant",
        "https://a.example/.well-known/openid-configuration/tenant",
        "https://a.example/tenant/.well-known/openid-configuration",
    ]


@pytest.mark.parametrize(
    ("answers", "challenge", "members", "found"),
    [
        # Named by the challenge, which also says the scope.
        (
            {"https://m.example/meta": resource(), f"{OAUTH}/tenant": authority()},
            'Bearer resource_metadata="https://m.example/meta", scope="mail.read"',
            {},
            (ISSUER, MCP, ("mail.read",)),
        ),
        # Found by its path; the scope is the server's list; OpenID Connect only.
        (
            {
                f"{WELL_KNOWN}/mail/mcp": resource(scopes_supported=["a", "b"]),
                f"{ISSUER}/.well-known/openid-configuration": authority(
                    scopes_supported=["openid", "offline_access"]
                ),
            },
            "",
            {},
            (ISSUER, MCP, ("a", "b", "offline_access")),
        ),
        # At the root, for all servers of the origin. The profile's scopes go before everything.
        (
            {WELL_KNOWN: resource(resource="https://m.example/"), f"{OAUTH}/tenant": authority()},
            'Bearer scope="x"',
            {"scopes": ("s",)},
            (ISSUER, "https://m.example/", ("s", "x")),
        ),
        # A page for people in the place of metadata is none; the second authorization server is usable.
        (
            {
                f"{WELL_KNOWN}/mail/mcp": Answer(200, b"<html>"),
                WELL_KNOWN: resource(authorization_servers=["https://b.example", ISSUER]),
                f"{OAUTH}/tenant": authority(),
            },
            "",
            {},
            (ISSUER, MCP, ()),
        ),
        # MCP 2025-03-26: no metadata about the server, which is its own authorization server.
        (
            {
                "https://m.example/.well-known/oauth-authorization-server": authority(
                    "https://m.example", registration_endpoint="https://m.example/r"
                )
            },
            "",
            {},
            ("https://m.example", MCP, ()),
        ),
        # The operator names it, and vouches for PKCE.
        (
            {OAUTH: authority("https://a.example/", code_challenge_methods_supported=None)},
            "",
            {"authorization_server": "https://a.example"},
            ("https://a.example/", MCP, ()),
        ),
    ],
)
async def test_a_login_is_found(
    answers: dict[str, Any], challenge: str, members: dict[str, Any], found: tuple[str, str, tuple[str, ...]]
) -> None:
    place = await discover(World(answers, challenge), server(**members))

    assert (place.authorization_server.issuer, place.resource, place.scopes) == found


@pytest.mark.parametrize(
    ("answers", "words", "kind"),
    [
        ({}, "has no metadata", "unusable"),
        ({WELL_KNOWN: Answer(503, b"")}, "m.example answered with HTTP 503", "unreachable"),
        ({WELL_KNOWN: resource(resource="https://other.example/mcp")}, "about another address", "unusable"),
        ({WELL_KNOWN: resource(resource="https://m.example/mail/mcp2")}, "about another address", "unusable"),
        (
            {WELL_KNOWN: resource(), f"{OAUTH}/tenant": authority("https://evil.example")},
            "is another's",
            "unusable",
        ),
        (
            {
                WELL_KNOWN: resource(),
                f"{OAUTH}/tenant": authority(code_challenge_methods_supported=["plain"]),
            },
            "does not offer PKCE",
            "unusable",
        ),
        (
            {WELL_KNOWN: resource(), f"{OAUTH}/tenant": authority(code_challenge_methods_supported=None)},
            "does not offer PKCE",
            "unusable",
        ),
        (
            {
                WELL_KNOWN: resource(),
                f"{OAUTH}/tenant": authority(authorization_endpoint="javascript:alert(1)"),
            },
            "not https",
            "unusable",
        ),
    ],
)
async def test_what_does_not_fit_together_is_no_login(answers: dict[str, Any], words: str, kind: str) -> None:
    with pytest.raises(OAuthFailed, match=words) as failed:
        await discover(World(answers), server())

    assert failed.value.kind == kind


@pytest.mark.parametrize(
    ("url", "members", "allowed"),
    [
        ("https://anywhere.example/x", {}, True),
        ("http://anywhere.example/x", {}, False),
        ("http://m.example/x", {}, False),
        ("http://10.0.0.5:9000/x", {"url": "http://10.0.0.5:9000/mcp"}, True),
        # Another port of the host is another service.
        ("http://10.0.0.5:9000/x", {"url": "http://10.0.0.5/mcp"}, False),
        ("http://10.0.0.5:80/x", {"url": "http://10.0.0.5/mcp"}, True),
        ("https://10.0.0.5:99999/x", {}, False),
        ("http://10.0.0.6/x", {"url": "http://10.0.0.5/mcp"}, False),
        (
            "http://sso.internal/x",
            {"url": "http://10.0.0.5/mcp", "authorization_server": "http://sso.internal"},
            True,
        ),
        ("file:///etc/passwd", {}, False),
        ("https://[", {}, False),
    ],
)
def test_plain_http_is_the_operators_word(url: str, members: dict[str, Any], allowed: bool) -> None:
    if allowed:
        check_scheme(url, server(**members))
    else:
        with pytest.raises(OAuthFailed):
            check_scheme(url, server(**members))


async def test_only_the_port_that_the_operator_named_may_be_private() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    http = OAuthHttp(resolve=resolve)
    named = server(url="https://inside.example:9000/mcp", authorization_server="https://[fd00::1]:9443")

    assert named.places == {"inside.example:9000", "[fd00::1]:9443"}
    assert server(url="https://inside.example./mcp").places == {"inside.example:443"}
    with pytest.raises(
        OAuthFailed, match=r"at inside\.example:6379 that may not be asked.*authorization_server"
    ):
        await http.get("https://inside.example:6379/x", named)
    with pytest.raises(OAuthFailed, match=r"\[fd00::1\] that may not be asked"):
        await http.get("https://[fd00::1]/x", named)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://inside.example/x",
        "https://169.254.169.254/x",
        "https://user:p@m.example/x",
    ],
)
async def test_metadata_leads_to_no_private_address(url: str) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    with pytest.raises(OAuthFailed, match="may not be asked") as failed:
        await OAuthHttp(resolve=resolve).get(url, server())

    assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    ("offered", "registered", "asked", "auth"),
    [
        (("none", "client_secret_basic"), {}, "none", "none"),
        (("client_secret_post",), {"client_secret": "s"}, "client_secret_post", "client_secret_post"),
        (
            ("client_secret_basic",),
            {"client_secret": "s", "token_endpoint_auth_method": "client_secret_post"},
            "client_secret_basic",
            "client_secret_post",
        ),
        # A public client, whatever was asked for.
        (("client_secret_basic",), {}, "client_secret_basic", "none"),
    ],
)
async def test_a_registration_says_how_the_client_shows_itself(
    offered: tuple[str, ...], registered: dict[str, Any], asked: str, auth: str
) -> None:
    found = authority(
        registration_endpoint=f"{ISSUER}/r", token_endpoint_auth_methods_supported=list(offered)
    )
    world = World(
        {WELL_KNOWN: resource(), f"{OAUTH}/tenant": found, f"{ISSUER}/r": {"client_id": "me", **registered}}
    )
    place = await discover(world, server())

    client, ends = await register(world, server(), place, name="Shop", redirect_uri="https://s.example/back")

    assert (client.client_id, client.auth, ends) == ("me", auth, None)
    assert (world.sent["token_endpoint_auth_method"], world.sent["redirect_uris"]) == (
        asked,
        ["https://s.example/back"],
    )


async def test_without_registration_the_profile_names_the_client() -> None:
    world = World({WELL_KNOWN: resource(), f"{OAUTH}/tenant": authority()})
    place: LoginPlace = await discover(world, server())

    with pytest.raises(OAuthFailed, match=r"set client_id and authorization_server in \[mcp.oauth\]"):
        await register(world, server(), place, name="Shop", redirect_uri="https://s.example/back")

    issuer = place.authorization_server.issuer
    given = given_client(server(client_id="me", client_secret="s", authorization_server=f"{issuer}/"), place)
    assert given is not None
    assert (given.client_id, given.auth) == ("me", "client_secret_basic")
    assert given_client(server(), place) is None
    # What the MCP server's metadata names gets no secret of the operator.
    for named in (None, "https://login.example.org"):
        with pytest.raises(OAuthFailed, match="belongs to another authorization server"):
            given_client(server(client_id="me", client_secret="s", authorization_server=named), place)
