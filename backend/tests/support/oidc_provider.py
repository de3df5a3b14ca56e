"""An OpenID Connect provider of another implementation: Authlib's server on Flask, over real HTTP, in a thread.

It has metadata, published keys, a login (authorization code with PKCE) and tokens for machines (client credentials). Its
access tokens are JWTs (RFC 9068), signed by another library than the one that checks them here.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from authlib.oidc.discovery import OpenIDProviderMetadata
from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from werkzeug.serving import make_server

AUDIENCE = "agentroute"
REDIRECT = "https://app.example/back"
SCOPES = ["openid", "profile", "run", "read", "admin"]


@dataclass
class User:
    """Somebody who can log in."""

    name: str
    claims: Mapping[str, Any] = field(default_factory=dict)

    def get_user_id(self) -> str:
        return self.name


@dataclass
class Client:
    """An application that the provider knows."""

    client_id: str
    secret: str = field(default_factory=secrets.token_urlsafe)
    claims: Mapping[str, Any] = field(default_factory=dict)
    """What its own tokens say."""

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return REDIRECT

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(name for name in scope.split() if name in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == REDIRECT

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, self.secret)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "client_credentials")

    @property
    def id_token_signed_response_alg(self) -> str:
        return "RS256"


@dataclass
class Code:
    """A code of a login, which is used once."""

    code: str
    client_id: str
    redirect_uri: str
    scope: str
    user: User
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None
    auth_time: int = field(default_factory=lambda: int(time.time()))

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None

    def is_expired(self) -> bool:
        return False


def new_key(kid: str, algorithm: str) -> Any:
    """Make a key for signing."""
    options: Any = {"kid": kid, "use": "sig", "alg": algorithm}
    match algorithm:
        case "RS256":
            return RSAKey.generate_key(2048, options)
        case "ES256":
            return ECKey.generate_key("P-256", options)
        case _:
            return OKPKey.generate_key("Ed25519", options)


class OidcProvider:
    """The provider, as a test sees and changes it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = {"first": new_key("first", "RS256")}
        """The published keys, by name."""
        self.signs_with = "first"
        self.lasts_seconds = 600
        self.users = {"ada": User("ada", {"tenant": "acme", "groups": ["staff"]})}
        self.clients = {
            client.client_id: client
            for client in (Client("app"), Client("robot", claims={"tenant": "acme", "groups": ["machines"]}))
        }
        self.is_down = False
        self.asked: Counter[str] = Counter()
        self._codes: dict[str, Code] = {}

    def rotate(self, kid: str, algorithm: str) -> None:
        """Publish a new key, and sign with it; the others stay published."""
        self.keys[kid] = new_key(kid, algorithm)
        self.signs_with = kid

    def withdraw(self, kid: str) -> None:
        """Publish a key no more."""
        del self.keys[kid]

    def app(self) -> Flask:
        """Return the application."""
        app = Flask("oidc-provider")
        server = self._server(app)

        @app.before_request
        def unless_down() -> Response | None:
            self.asked[request.path] += 1
            return Response(status=503) if self.is_down else None

        @app.get("/.well-known/openid-configuration")
        def metadata() -> Response:
            return jsonify(self.metadata())

        @app.get("/keys")
        def keys() -> Response:
            return jsonify(KeySet(list(self.keys.values())).as_dict(private=False))

        @app.get("/authorize")
        def authorize() -> Any:
            # Ada is logged in, and agrees to everything.
            ada = self.users["ada"]
            grant = server.get_consent_grant(end_user=ada)
            return server.create_authorization_response(grant=grant, grant_user=ada)

        @app.post("/token")
        def token() -> Any:
            return server.create_token_response()

        return app

    def metadata(self) -> dict[str, Any]:
        """Return the metadata; Authlib checks that they are complete."""
        found = OpenIDProviderMetadata(
            issuer=self.url,
            authorization_endpoint=f"{self.url}/authorize",
            token_endpoint=f"{self.url}/token",
            jwks_uri=f"{self.url}/keys",
            response_types_supported=["code"],
            subject_types_supported=["public"],
            id_token_signing_alg_values_supported=["RS256"],
            scopes_supported=SCOPES,
            grant_types_supported=["authorization_code", "client_credentials"],
            token_endpoint_auth_methods_supported=["client_secret_basic"],
            code_challenge_methods_supported=["S256"],
        )
        found.validate_response_types_supported()
        found.validate_subject_types_supported()
        found.validate_id_token_signing_alg_values_supported()
        return dict(found)

    def _server(self, app: Flask) -> AuthorizationServer:
        provider = self
        server = AuthorizationServer(
            app, query_client=self.clients.get, save_token=lambda _token, _request: None
        )

        class Tokens(JWTBearerTokenGenerator):
            def get_jwks(self) -> Any:
                return provider.keys[provider.signs_with]

            def get_audiences(self, client: Client, user: User | None, scope: str) -> list[str]:
                return [AUDIENCE]

            def get_extra_claims(
                self, client: Client, grant_type: str, user: User | None, scope: str
            ) -> dict[str, Any]:
                return dict(client.claims if user is None else user.claims)

            def access_token_generator(
                self, client: Client, grant_type: str, user: User | None, scope: str
            ) -> str:
                key = self.get_jwks()
                now = int(time.time())
                claims = {
                    "iss": self.issuer,
                    "sub": client.client_id if user is None else user.name,
                    "aud": self.get_audiences(client, user, scope),
                    "client_id": client.client_id,
                    "iat": now,
                    "exp": now + provider.lasts_seconds,
                    "jti": self.get_jti(client, grant_type, user, scope),
                    "scope": scope,
                    **self.get_extra_claims(client, grant_type, user, scope),
                }
                head = {"alg": key.alg, "typ": "at+jwt", "kid": key.kid}
                return jwt.encode(head, claims, key, algorithms=[key.alg])

        class Logins(AuthorizationCodeGrant):
            def save_authorization_code(self, code: str, request: Any) -> None:
                asked = request.payload.data
                provider._codes[code] = Code(
                    code,
                    request.client.client_id,
                    request.payload.redirect_uri,
                    request.payload.scope,
                    request.user,
                    asked.get("nonce"),
                    asked.get("code_challenge"),
                    asked.get("code_challenge_method"),
                )

            def query_authorization_code(self, code: str, client: Any) -> Code | None:
                found = provider._codes.get(code)
                return found if found is not None and found.client_id == client.client_id else None

            def delete_authorization_code(self, authorization_code: Code) -> None:
                del provider._codes[authorization_code.code]

            def authenticate_user(self, authorization_code: Code) -> User:
                return authorization_code.user

        class IdTokens(OpenIDCode):
            def exists_nonce(self, nonce: str, request: Any) -> bool:
                return any(code.nonce == nonce for code in provider._codes.values())

            def resolve_client_private_key(self, client: Client) -> Any:
                return provider.keys["first"]

            def get_client_claims(self, client: Client) -> dict[str, Any]:
                return {"iss": provider.url}

            def generate_user_info(self, user: User, scope: str) -> UserInfo:
                return UserInfo(sub=user.name)

        server.register_token_generator("default", Tokens(self.url))
        server.register_grant(Logins, [CodeChallenge(required=True), IdTokens()])
        server.register_grant(ClientCredentialsGrant)
        return server


@contextmanager
def serve_provider() -> Iterator[OidcProvider]:
    """Serve a provider on a free port of this machine."""
    provider = OidcProvider("")
    server = make_server("127.0.0.1", 0, lambda environ, start: app(environ, start), threaded=True)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    app = provider.app()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
