"""MCP servers in a profile: what may be written, and what the environment puts in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.agentscope.runtime.profile.mcp_servers import McpServer, resolve_mcp, secrets_of_mcp
from core.agentscope.runtime.profile.profile import load_profile
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.mcp.user_access import secrets_in, token_headers

HEAD = 'name = "A"\ndescription = "d"\n'
URL = 'url = "https://mcp.example.com/mcp"\n'


def server(**members: Any) -> McpServer:
    return McpServer.model_validate({"name": "github", "url": "https://mcp.example.com/mcp"} | members)


def loaded(folder: Path, text: str) -> tuple[McpServer, ...]:
    path = folder / "agent.toml"
    path.write_text(HEAD + text)
    return load_profile(path).mcp


def test_a_profile_names_servers_with_their_permissions(tmp_path: Path) -> None:
    text = f'[[mcp]]\nname = "github"\n{URL}allow = ["get_*"]\n[mcp.permissions]\n"get_*" = "allow"\n'
    text += (
        '[[mcp]]\nname = "files"\ncommand = ["python", "files.py"]\nenv = { ROOT = "/srv" }\ncwd = "/srv"\n'
    )

    github, files = loaded(tmp_path, text)

    assert (github.permission, github.timeout_seconds) == ("ask", 30)
    assert github.policy().permission_of("get_issue") == "allow"
    assert github.policy().permission_of("delete") == "ask"
    assert not github.policy().offers("delete")
    ((_, endpoint),) = resolve_mcp([files], {})
    assert (endpoint.transport, endpoint.command, dict(endpoint.env), endpoint.cwd) == (
        "stdio",
        ("python", "files.py"),
        {"ROOT": "/srv"},
        "/srv",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('name = "a"\n', 'mcp[0]: set either url = "https://..." or command = ["program", "argument"]'),
        (f'name = "a"\n{URL}command = ["x"]\n', "mcp[0]: set either url"),
        (
            'name = "a"\ncommand = ["x"]\ntransport = "sse"\n',
            "headers and transport belong to a server with a url",
        ),
        (f'name = "a"\n{URL}cwd = "/"\n', "env and cwd belong to a server with a command"),
        (f'name = "a__b"\n{URL}', "mcp[0].name: must be 1 to 32 of the characters"),
        (f'name = "a"\n{URL}allow = [""]\n', "a pattern must not be empty"),
        (f'name = "a"\n{URL}transport = "stdio"\n', "mcp[0].transport: input should be 'http' or 'sse'"),
        (f'name = "a"\n{URL}permissions = {{ x = "maybe" }}\n', "mcp[0].permissions.x: input should be"),
        (f'name = "a"\n{URL}headers = {{ "a b" = "c" }}\n', "'a b' is not the name of a header"),
        (
            f'name = "a"\n{URL}headers = {{ Mcp-Session-Id = "c" }}\n',
            "the header Mcp-Session-Id is set by the protocol",
        ),
        (f'name = "a"\n{URL}token = "x"\n', "mcp[0].token: unknown key; allowed: name, url, transport"),
        ('name = "a"\ncommand = ["x"]\nauth = "oauth"\n', "auth belongs to a server with a url"),
        (f'name = "a"\n{URL}[mcp.oauth]\nscopes = ["x"]\n', '[mcp.oauth] belongs to auth = "oauth"'),
        (
            f'name = "a"\n{URL}auth = "oauth"\n[mcp.oauth]\nclient_secret = "x"\n',
            "client_secret belongs to a client_id",
        ),
        (
            f'name = "a"\n{URL}auth = "oauth"\n[mcp.oauth]\nclient_id = "x"\n',
            "client_id needs authorization_server: the issuer at which it is registered",
        ),
        (
            f'name = "a"\n{URL}auth = "oauth"\n[mcp.oauth]\nscopes = ["a b"]\n',
            "must be a list of single words",
        ),
        (f'name = "a"\n{URL}auth = "basic"\n', "mcp[0].auth: input should be 'user-token' or 'oauth'"),
        (
            f'name = "a"\n{URL}auth = "oauth"\nheaders = {{ authorization = "x" }}\n',
            "auth and headers.Authorization exclude each other",
        ),
        (
            f'name = "a"\n{URL}auth = "user-token"\ntoken_header = "X-Key"\nheaders = {{ x-key = "x" }}\n',
            "auth and headers.X-Key exclude each other",
        ),
        (
            f'name = "a"\n{URL}token_header = "X"\n',
            'token_header and token_scheme belong to auth = "user-token"',
        ),
        (
            f'name = "a"\n{URL}auth = "oauth"\ntoken_scheme = "Token"\n',
            'token_header and token_scheme belong to auth = "user-token"',
        ),
        (
            f'name = "a"\n{URL}auth = "user-token"\ntoken_header = "Host"\n',
            "mcp[0].token_header: the header Host is set",
        ),
        (
            f'name = "a"\n{URL}auth = "user-token"\ntoken_scheme = "a b"\n',
            "mcp[0].token_scheme: must be one word",
        ),
        (f'name = "a"\n{URL}[[mcp]]\nname = "a"\n{URL}', "mcp: a is listed twice"),
    ],
)
def test_a_mistake_is_one_line_that_says_where(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ProfileInvalid) as refused:
        loaded(tmp_path, f"[[mcp]]\n{text}")

    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_variables_are_put_in_and_known_as_secrets_and_not_shown() -> None:
    named = server(
        headers={"Authorization": "Bearer ${GITHUB_TOKEN}"}, url="https://u:${PASSWORD}@example.com/mcp"
    )

    ((_, endpoint),) = resolve_mcp([named], {"GITHUB_TOKEN": " ghp-123456789\n", "PASSWORD": "p4ssw0rd-1"})

    assert endpoint.headers == (("Authorization", "Bearer ghp-123456789"),)
    assert endpoint.url == "https://u:p4ssw0rd-1@example.com/mcp"
    assert {"ghp-123456789", "Bearer ghp-123456789", "p4ssw0rd-1"} <= set(endpoint.secrets)
    assert {"ghp-123456789", "p4ssw0rd-1"} <= set(secrets_of_mcp([endpoint]))
    assert "ghp" not in repr(endpoint)
    assert "ghp" not in repr(named)


def test_a_key_that_was_written_out_is_a_secret_and_an_ordinary_header_is_none() -> None:
    written = server(headers={"X-Api-Key": "written-out-1", "X-Client": "support-desk"})

    ((_, endpoint),) = resolve_mcp([written], {})

    assert endpoint.secrets == ("written-out-1",)


def test_a_program_starts_in_its_profiles_folder(tmp_path: Path) -> None:
    text = '[[mcp]]\nname = "a"\ncommand = ["x"]\n[[mcp]]\nname = "b"\ncommand = ["x"]\ncwd = "tools"\n'

    servers = resolve_mcp(loaded(tmp_path, text), {})

    assert [endpoint.cwd for _, endpoint in servers] == [str(tmp_path), str(tmp_path / "tools")]


@pytest.mark.parametrize(
    ("members", "environ", "line"),
    [
        ({"headers": {"A": "x ${TOKEN}"}}, {}, "mcp github: headers.A: the variable TOKEN is not set"),
        ({"headers": {"A": "${TOKEN}"}}, {"TOKEN": " "}, "the variable TOKEN is not set"),
        (
            {"headers": {"A": "${TOKEN}"}},
            {"TOKEN": "a\nb"},
            "headers.A: holds a character that no header can have",
        ),
        ({"headers": {"A": "${not a name}"}}, {}, "headers.A: ${not a name} is not the name of a variable"),
        ({"url": "mcp.example.com"}, {}, "mcp github: url: must be like https://mcp.example.com/mcp"),
        ({"url": "ftp://example.com"}, {}, "url: must be like"),
        ({"url": None, "command": ["x", "${DIR}"]}, {}, "command: the variable DIR is not set"),
        ({"url": None, "command": ["x"], "env": {"K": "${KEY}"}}, {}, "env.K: the variable KEY is not set"),
    ],
)
def test_what_cannot_be_used_names_the_place_and_never_a_value(
    members: dict[str, Any], environ: dict[str, str], line: str
) -> None:
    with pytest.raises(ProfileInvalid) as refused:
        resolve_mcp([server(**members)], environ)

    assert line in str(refused.value)
    assert not any(value.strip() and value in str(refused.value) for value in environ.values())


def test_equal_servers_of_two_profiles_are_one_endpoint() -> None:
    first = server(headers={"A": "${TOKEN}"}, allow=["a"])
    second = server(name="other", headers={"A": "${TOKEN}"}, permission="allow")

    ((_, one),) = resolve_mcp([first], {"TOKEN": "12345678"})
    ((_, other),) = resolve_mcp([second], {"TOKEN": "12345678"})

    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("members", "sent"),
    [
        ({}, {"Authorization": "Bearer t-1"}),
        ({"token_scheme": "Token"}, {"Authorization": "Token t-1"}),
        ({"token_scheme": ""}, {"Authorization": "t-1"}),
        ({"token_header": "X-Api-Key"}, {"X-Api-Key": "t-1"}),
        ({"token_header": "X-Api-Key", "token_scheme": "Key"}, {"X-Api-Key": "Key t-1"}),
    ],
)
def test_the_profile_says_how_a_users_token_is_sent(members: dict[str, str], sent: dict[str, str]) -> None:
    named = server(auth="user-token", headers={"X-Client": "shop"}, **members)

    ((_, endpoint),) = resolve_mcp([named], {})

    assert endpoint.auth == "user-token"
    assert token_headers(*endpoint.carrier, "t-1") == sent
    assert set(secrets_in(sent)) >= {"t-1", *sent.values()}


def test_a_server_of_users_and_one_of_the_application_are_not_the_same() -> None:
    ((_, shared),) = resolve_mcp([server()], {})
    ((_, own),) = resolve_mcp([server(auth="oauth")], {})

    assert shared != own


def test_a_login_is_described_with_a_secret_of_the_environment() -> None:
    oauth = {
        "client_id": "shop",
        "client_secret": "${MAIL}",
        "authorization_server": "https://login.example.com",
    }

    ((_, endpoint),) = resolve_mcp([server(auth="oauth", oauth=oauth)], {"MAIL": "canary-secret"})

    found = endpoint.oauth_server("mail")
    assert found is not None
    assert (found.client_id, found.client_secret) == ("shop", "canary-secret")
    assert "canary-secret" in secrets_of_mcp([endpoint])
    assert "canary" not in repr((found, endpoint, endpoint.oauth))
    assert found.places == {"mcp.example.com:443", "login.example.com:443"}
    with pytest.raises(ProfileInvalid, match=r"oauth\.authorization_server: must be like"):
        resolve_mcp([server(auth="oauth", oauth={"authorization_server": "login"})], {})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://u:canary@mcp.example.com/mcp", "has a user name or password"),
        ("https://u@mcp.example.com/mcp", "has a user name or password"),
        ("https://mcp-s\u00e9rver.example/mcp", "must have a host of ASCII letters"),
        ("https://mcp server.example/mcp", "must have a host of ASCII letters"),
    ],
)
def test_an_address_at_which_no_login_could_begin_stops_the_start(url: str, words: str) -> None:
    for members in ({"url": url}, {"oauth": {"authorization_server": url}}):
        with pytest.raises(ProfileInvalid, match=words) as refused:
            resolve_mcp([server(auth="oauth", **members)], {})
        assert "canary" not in str(refused.value)
    # Other servers are asked by another client, which takes both.
    resolve_mcp([server(url=url)], {})
