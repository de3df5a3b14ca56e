"""An OpenID Connect issuer with real keys, over real HTTP, in a thread: metadata, a key set, and the tokens it signs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from core.identity_settings import IdentitySettings

AUDIENCE = "agentroute"
METADATA = "/.well-known/openid-configuration"
KEYS = "/keys"


_making = Lock()


def private_key(kid: str, algorithm: str) -> Any:
    """Return the key of a name: the same one each time, because an RSA key takes a while to make."""
    # The thread of the server and that of the test may want the same new key.
    with _making:
        return _made_key(kid, algorithm)


@cache
def _made_key(kid: str, algorithm: str) -> Any:
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            raise ValueError(f"{algorithm} {kid}")


def public_jwk(kid: str, algorithm: str, **members: Any) -> dict[str, Any]:
    """Return the public key of a name as an issuer publishes it."""
    made: Any = {
        "RS256": RSAAlgorithm,
        "ES256": ECAlgorithm,
        "EdDSA": OKPAlgorithm,
    }[algorithm].to_jwk(private_key(kid, algorithm).public_key(), as_dict=True)
    return {key: value for key, value in made.items() if key != "key_ops"} | {
        "kid": kid,
        "alg": algorithm,
        "use": "sig",
        **members,
    }


def public_pem(kid: str, algorithm: str) -> bytes:
    """Return the public key of a name as text."""
    return (
        private_key(kid, algorithm).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


class TokenIssuer:
    """What the issuer publishes, and how it behaves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.published: dict[str, str] = {"k-1": "RS256"}
        """Kid and algorithm of each published key."""
        self.answers: dict[str, tuple[int, bytes]] = {}
        """What a path answers instead: the status and the body."""
        self.headers: dict[str, str] = {}
        self.clock_ahead_seconds = 0
        """How far the clock of the issuer is ahead."""
        self.asked: Counter[str] = Counter()

    def settings(self, **changes: Any) -> IdentitySettings:
        """Return settings of a service that trusts this issuer."""
        return IdentitySettings.model_validate({"oidc_issuer": self.url, "jwt_audience": AUDIENCE} | changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims, changed; without those whose value is ``None``."""
        now = int(time.time())
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600}
        return {name: value for name, value in (good | changes).items() if value is not None}

    def token(
        self, kid: str | None = "k-1", algorithm: str | None = None, key: Any = None, **changes: Any
    ) -> str:
        """Sign a token; with the key of ``kid`` unless another is given."""
        algorithm = algorithm or self.published.get(kid or "", "RS256")
        header = {} if kid is None else {"kid": kid}
        signing = private_key(kid or "k-1", algorithm) if key is None else key
        return jwt.encode(self.claims(**changes), signing, algorithm=algorithm, headers=header)

    def document(self, path: str) -> Mapping[str, Any] | None:
        """Return what a path answers."""
        if path == METADATA:
            return {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"}
        if path == KEYS:
            return {"keys": [public_jwk(kid, algorithm) for kid, algorithm in self.published.items()]}
        return None


@contextmanager
def serve_issuer() -> Iterator[TokenIssuer]:
    """Serve an issuer on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked[self.path] += 1
            document = issuer.document(self.path)
            status, body = issuer.answers.get(
                self.path, (404 if document is None else 200, json.dumps(document).encode())
            )
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **issuer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((timestamp or time.time()) + issuer.clock_ahead_seconds)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = TokenIssuer(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
