"""The MCP servers of a profile: what may be written there, and the endpoints that come of it.

Secrets stand in the environment. The profile names them as ``${NAME}``; they are put in when a process starts, are
known to the log's redaction, and are stored nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.tools.mcp.endpoint import McpEndpoint, OAuthOptions
from core.agentscope.tools.mcp.names import SERVER_NAME
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.user_access import UserAuth
from core.agentscope.tools.spec import Permission
from core.redaction import secret_forms

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
_HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+")
_SECRET_HEADER = re.compile(r"auth|cookie|key|token|secret|password", re.IGNORECASE)
_RESERVED_HEADERS = frozenset(
    {"accept", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)


def _known_name(name: str) -> str:
    if not re.fullmatch(SERVER_NAME, name):
        raise ValueError(
            "must be 1 to 32 of the characters A-Z a-z 0-9 - and single _ between them, because tools are named name__tool"
        )
    return name


def _header_name(name: str) -> str:
    _header_names({name: ""})
    return name


def _scheme(text: str) -> str:
    if not _SCHEME.fullmatch(text):
        raise ValueError('must be one word, such as "Bearer", or empty for the bare token')
    return text


def _header_names(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if name.lower() in _RESERVED_HEADERS or name.lower().startswith("mcp-"):
            raise ValueError(f"the header {name} is set by the protocol")
    return headers


def _beside_the_profile(path: Path, info: ValidationInfo) -> Path:
    return (info.context or {}).get("directory", Path()) / path


Folder = Annotated[Path, AfterValidator(_beside_the_profile)]


def _patterns(names: Iterable[str]) -> None:
    if not all(names):
        raise ValueError("a pattern must not be empty")


def _scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", scope) for scope in scopes):
        raise ValueError('must be a list of single words, such as ["mail.read", "mail.send"]')
    return scopes


class McpOAuth(BaseModel):
    """``[mcp.oauth]``: a login, where the server's own metadata does not say everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str | None = Field(default=None, min_length=1)
    """Of a client that was registered by hand; absent: the service registers itself."""
    client_secret: str | None = Field(default=None, min_length=1)
    """As ``${NAME}``."""
    scopes: Annotated[tuple[str, ...], AfterValidator(_scopes)] | None = None
    """What to ask for; absent: what the server says that it needs."""
    authorization_server: str | None = Field(default=None, min_length=1)
    """Its issuer; absent: what the server's metadata says, if the service registers itself."""

    @model_validator(mode="after")
    def _client_has_a_place(self) -> McpOAuth:
        if self.client_secret is not None and self.client_id is None:
            raise ValueError("client_secret belongs to a client_id")
        if self.client_id is not None and self.authorization_server is None:
            # Otherwise the MCP server would say who gets the secret.
            raise ValueError("client_id needs authorization_server: the issuer at which it is registered")
        return self


class McpServer(BaseModel):
    """One MCP server whose tools the agent has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(_known_name)]
    """Its tools are offered as ``name__tool``."""
    url: str | None = Field(default=None, min_length=1)
    """Of a server that is reached over HTTP."""
    transport: Literal["http", "sse"] | None = None
    """Of a server with a ``url``: ``http`` is streamable HTTP, and what is meant when it is absent."""
    command: tuple[str, ...] = ()
    """Program and arguments of a server that each worker starts and speaks to over its standard input and output."""
    env: dict[str, str] = Field(default_factory=dict)
    """Variables of the program. It gets none of the worker's own, except PATH, HOME and the like."""
    cwd: Folder | None = None
    """Folder of the program, relative to the profile's; the profile's when absent."""
    headers: Annotated[dict[str, str], AfterValidator(_header_names)] = Field(default_factory=dict)
    """Sent with every request to the ``url``."""
    auth: UserAuth | None = None
    """Of a server that sees the user's own identity, not the application's: how a user connects."""
    oauth: McpOAuth | None = None
    token_header: Annotated[str, AfterValidator(_header_name)] | None = None
    """What carries a ``user-token``; ``Authorization`` when absent."""
    token_scheme: Annotated[str, AfterValidator(_scheme)] | None = None
    """Before the token; when absent, ``Bearer`` in ``Authorization``, and nothing in another header."""
    allow: tuple[str, ...] | None = None
    """Patterns of the tools that are offered, by the server's own names; every tool when absent."""
    permission: Permission = "ask"
    permissions: dict[str, Permission] = Field(default_factory=dict)
    """Of single tools, by name or pattern. The name of a tool goes before patterns, the first pattern before others."""
    timeout_seconds: float = Field(default=30.0, gt=0, le=3600)
    """Of one call."""

    @model_validator(mode="before")
    @classmethod
    def _starts_beside_the_profile(cls, members: Any) -> Any:
        """Otherwise a program would be found or not, depending on where the worker was started."""
        return {"cwd": "."} | members if isinstance(members, dict) and members.get("command") else members

    @model_validator(mode="after")
    def _is_one_way(self) -> McpServer:
        if (self.url is None) == (not self.command):
            raise ValueError('set either url = "https://..." or command = ["program", "argument"]')
        if self.command and (self.headers or self.transport):
            raise ValueError("headers and transport belong to a server with a url")
        if self.url is not None and (self.env or self.cwd):
            raise ValueError("env and cwd belong to a server with a command")
        self._has_one_identity()
        _patterns((*(self.allow or ()), *self.permissions))
        return self

    def _has_one_identity(self) -> None:
        if self.auth is not None and self.url is None:
            raise ValueError("auth belongs to a server with a url: a program has no users")
        if self.auth != "user-token" and (self.token_header, self.token_scheme) != (None, None):
            raise ValueError('token_header and token_scheme belong to auth = "user-token"')
        if self.oauth is not None and self.auth != "oauth":
            raise ValueError('[mcp.oauth] belongs to auth = "oauth"')
        carrier = self.carrier()[0]
        if self.auth is not None and carrier.lower() in map(str.lower, self.headers):
            raise ValueError(
                f"auth and headers.{carrier} exclude each other: the header carries the user's token, never the application's"
            )

    def carrier(self) -> tuple[str, str]:
        """Return the header that carries a user's token, and the scheme before the token."""
        header = self.token_header or "Authorization"
        usual = "Bearer" if header.lower() == "authorization" else ""
        return header, usual if self.token_scheme is None else self.token_scheme

    def policy(self) -> McpPolicy:
        """Return which tools are offered, and with which permission."""
        return McpPolicy(self.name, self.allow, self.permission, tuple(self.permissions.items()))


def resolve_mcp(
    servers: Iterable[McpServer], environ: Mapping[str, str] | None = None
) -> list[tuple[McpPolicy, McpEndpoint]]:
    """Put the values of the environment into the servers of a profile.

    Raises:
        ProfileInvalid: A variable is not set, or what comes of it cannot be used. The message names the place and the
            variable, never a value.
    """
    values = os.environ if environ is None else environ
    return [(server.policy(), _Resolving(server, values).endpoint()) for server in servers]


def secrets_of_mcp(endpoints: Iterable[McpEndpoint]) -> list[str]:
    """List what must never be logged, in every form in which it can stand in a line."""
    return [form for endpoint in endpoints for secret in endpoint.secrets for form in secret_forms(secret)]


class _Resolving:
    def __init__(self, server: McpServer, environ: Mapping[str, str]) -> None:
        self._server = server
        self._environ = environ
        self._secrets: list[str] = []

    def endpoint(self) -> McpEndpoint:
        server = self._server
        # The url last: a password in it is a secret, the rest of it is not.
        headers = tuple((name, self._header(name, value)) for name, value in server.headers.items())
        env = tuple((name, self._put_in(f"env.{name}", value)) for name, value in server.env.items())
        command = tuple(self._put_in("command", part) for part in server.command)
        oauth = self._oauth(server.oauth) if server.oauth is not None else None
        url = self._url(server.url) if server.url is not None else ""
        if server.auth == "oauth":
            self._has_a_plain_host(url, "url")
        return McpEndpoint(
            transport="stdio" if command else server.transport or "http",
            url=url,
            headers=headers,
            command=command,
            env=env,
            cwd=None if server.cwd is None else str(server.cwd),
            timeout_seconds=server.timeout_seconds,
            secrets=tuple(dict.fromkeys(self._secrets)),
            auth=server.auth,
            oauth=oauth,
            carrier=server.carrier(),
        )

    def _header(self, name: str, value: str) -> str:
        text = self._put_in(f"headers.{name}", value)
        if not all(" " <= character <= "~" or character == "\t" for character in text):
            raise self._wrong(f"headers.{name}", "holds a character that no header can have")
        if text != value or _SECRET_HEADER.search(name):
            # The scheme and the token together, too. A key that was written out is as secret as one that was put in.
            self._secrets.append(text)
        return text

    def _oauth(self, given: McpOAuth) -> OAuthOptions:
        client_id, secret, issuer = given.client_id, given.client_secret, given.authorization_server
        if secret is not None:
            secret = self._put_in("oauth.client_secret", secret)
            self._secrets.append(secret)
        return OAuthOptions(
            client_id and self._put_in("oauth.client_id", client_id),
            secret,
            given.scopes,
            issuer
            and self._has_a_plain_host(
                self._url(issuer, "oauth.authorization_server"), "oauth.authorization_server"
            ),
        )

    def _has_a_plain_host(self, url: str, where: str) -> str:
        """A login goes to checked addresses only, and shows no identity but the user's; no login could begin."""
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise self._wrong(where, 'has a user name or password, which auth = "oauth" takes the place of')
        if _HOST.fullmatch(parts.hostname or "") is None:
            raise self._wrong(where, "must have a host of ASCII letters, such as xn--mnchen-3ya.example")
        return url

    def _url(self, value: str, where: str = "url") -> str:
        url = self._put_in(where, value)
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            usable = False
            parts = urlsplit("")
        if not usable:
            raise self._wrong(where, "must be like https://mcp.example.com/mcp")
        if parts.password:
            self._secrets.append(parts.password)
        return url

    def _put_in(self, where: str, value: str) -> str:
        def replace(found: re.Match[str]) -> str:
            name = found[1]
            if not _VARIABLE_NAME.fullmatch(name):
                raise self._wrong(where, f"${{{name}}} is not the name of a variable")
            text = self._environ.get(name, "").strip()
            if not text:
                raise self._wrong(where, f"the variable {name} is not set")
            self._secrets.append(text)
            return text

        return _VARIABLE.sub(replace, value)

    def _wrong(self, where: str, what: str) -> ProfileInvalid:
        return ProfileInvalid(f"mcp {self._server.name}: {where}: {what}")
