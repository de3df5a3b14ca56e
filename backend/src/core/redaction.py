"""Takes secrets out of text before it is logged.

There are two methods: literal values that are known from the settings, and patterns of common credentials, for
credentials from outside.

The text may also come from outside: a path of a request, an error of a provider. So every step takes linear time for
any text: no pattern begins a scan at a place that an earlier scan has passed. A text is truncated before it is
searched.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from core.secret_values import SeveralSecrets

MASK = "[redacted]"

# 8: shorter values ("demo", "postgres") would mask ordinary words.
_MIN_LITERAL = 8
_MAX_DEPTH = 8
MAX_TEXT_CHARACTERS = 16 * 1024
"""Longer texts are truncated, because people read log lines."""
_CUT = "... [cut]"
# A truncated secret no longer matches a pattern, so the end is removed as well. 512: longer than most keys.
_CUT_MARGIN = 512

_SECRET_NAME = re.compile(
    r"authorization|cookie|passw|secret|api[-_]?key|private[-_]?key|credential|ticket|(?:^|[-_])(?:token|jwt|dsn)$",
    re.IGNORECASE,
)

# Sequences of the characters of a JWT, and of a URL. Each sequence is found as a whole and then searched inside: a
# pattern for the secret itself would restart at each letter.
_TOKEN_RUN = re.compile(r"[A-Za-z0-9_.-]{10,}")
_URL_RUN = re.compile(r"""[^\s"'<>]{5,}""")
_MIN_JWT_HEADER = len("eyJ") + 5


def _without_jwt(run: re.Match[str]) -> str:
    """Mask a JWT, from its first letter to the end of the run: `eyJ...`, then one or more parts after dots."""
    text = run[0]
    start = text.find("eyJ")
    while start >= 0:
        dot = text.find(".", start)
        if dot < 0:
            return text
        if dot - start >= _MIN_JWT_HEADER:
            return text[:start] + MASK
        start = text.find("eyJ", dot)
    return text


def _without_userinfo(run: re.Match[str]) -> str:
    """Mask the part before the last @ of `scheme://user:password@host`; passwords are often not escaped."""
    text = run[0]
    at = text.rfind("@")
    scheme = text.find("://")
    while 0 <= scheme < at:
        if scheme and (text[scheme - 1].isalnum() or text[scheme - 1] in "+.-"):
            return f"{text[: scheme + 3]}{MASK}{text[at:]}"
        scheme = text.find("://", scheme + 3)
    return text


_SHAPES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # A JWT first: a later pattern would otherwise split it at its dots.
    (_TOKEN_RUN, _without_jwt),
    # `Authorization: ...`, `"cookie": "..."`, `api_key=...`, `password='...'`
    (
        re.compile(
            r"""(?ix) ( (?:authorization|set-cookie|cookie|x-api-key) ["']? \s*[:=]\s* ["']? ) [^"'\r\n]+ """,
        ),
        rf"\g<1>{MASK}",
    ),
    (
        re.compile(
            r"""(?ix) ( (?:api[-_]?key|access[-_]?token|refresh[-_]?token|client[-_]?secret|jwt[-_]?secret|secret|password|passwd|token|ticket)
                ["']? \s*[:=]\s* ["']? ) (?!\[redacted\]) [^\s"'&,;)}\]]+ """,
        ),
        rf"\g<1>{MASK}",
    ),
    # A digit or a capital: "basic tokens" is prose.
    (re.compile(r"\b((?i:bearer|basic))\s+(?=\S*[A-Z0-9])[A-Za-z0-9._~+/=-]{6,}"), rf"\g<1> {MASK}"),
    (_URL_RUN, _without_userinfo),
    # Our API keys, whose id stays readable: it says which key to revoke. Our stream tickets.
    (re.compile(r"(ar_[A-Za-z0-9]{12})_[A-Za-z0-9]{16,}"), rf"\g<1>_{MASK}"),
    (re.compile(r"art_[A-Za-z0-9]{43}"), MASK),
    # The random part of links that answer questions, and secrets of webhooks.
    (re.compile(r"arl_[A-Za-z0-9_-]{20,}|whsec_[A-Za-z0-9+/=]{16,}"), MASK),
    # Provider keys: sk-..., sk-ant-..., ghp_..., xoxb-..., AKIA..., AIza...
    (re.compile(r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{8,}"), MASK),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|hf_)[A-Za-z0-9_-]{8,}"), MASK),
    (re.compile(r"\bAKIA[0-9A-Z]{12,}|\bAIza[A-Za-z0-9_-]{20,}"), MASK),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        MASK,
    ),
)


class Redactor:
    """Replaces secrets in strings and in the values of log events."""

    def __init__(self, literals: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._literals: re.Pattern[str] | None = None
        self._margin = _CUT_MARGIN
        self.know(literals)

    def know(self, literals: Iterable[str]) -> None:
        """Mask these values as well, from now on."""
        self._known |= {text for text in literals if len(text) >= _MIN_LITERAL}
        # Longest first: one secret may contain another.
        known = sorted(self._known, key=len, reverse=True)
        self._literals = re.compile("|".join(map(re.escape, known))) if known else None
        self._margin = max([_CUT_MARGIN, *map(len, known)])

    def text(self, value: str) -> str:
        """Return the text without secrets, truncated if it is long. Idempotent."""
        if len(value) > MAX_TEXT_CHARACTERS:
            kept = self._masked(value[:MAX_TEXT_CHARACTERS])
            return kept[: max(0, min(len(kept), MAX_TEXT_CHARACTERS) - self._margin)] + _CUT
        return self._masked(value)

    def _masked(self, value: str) -> str:
        if self._literals is not None:
            value = self._literals.sub(MASK, value)
        for shape, replacement in _SHAPES:
            value = shape.sub(replacement, value)
        return value

    def value(self, value: Any, *, name: str = "", depth: int = 0) -> Any:
        """Return a JSON-like copy without secrets.

        Objects become their text, so that every value is searched. A member whose name indicates a secret is masked
        completely.
        """
        if value is None or isinstance(value, bool | int | float):
            return value
        if name and _SECRET_NAME.search(name):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if depth >= _MAX_DEPTH:
            return "[too deep]"
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): self.value(item, name=str(key), depth=depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth=depth + 1) for item in value]
        return self.text(str(value))


def secrets_of(settings: BaseModel) -> list[str]:
    """List every secret of the settings in all its forms: each ``SecretStr``, and the password inside a URL."""
    found: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            found += [form for each in value if isinstance(each, BaseModel) for form in secrets_of(each)]
        elif isinstance(value, BaseModel):
            found += secrets_of(value)
        elif isinstance(value, SecretStr):
            found += secret_forms(value.get_secret_value())
            if isinstance(value, SeveralSecrets):
                found += [form for secret in value.each for form in secret_forms(secret)]
    return found


def secret_forms(secret: str) -> list[str]:
    """List the forms in which a secret can stand in a text: as it is, escaped, encoded, and inside a URL."""
    parts = [secret, secret.strip()]
    if "://" in secret:
        try:
            url = urlsplit(secret)
            user, password = unquote(url.username or ""), url.password or ""
        except ValueError:
            user = password = ""
        if password:
            plain = unquote(password)
            parts += [password, plain]
            basic = base64.b64encode(f"{user}:{plain}".encode()).decode()
            parts += [basic, basic.rstrip("=")]
    return list(dict.fromkeys(form for part in parts if part for form in _escaped(part)))


def _escaped(text: str) -> list[str]:
    """Return a text as errors and logs write it: raw, as Python and JSON quote it, percent-encoded, and in Base64."""
    data = text.encode("utf-8", "surrogatepass")
    coded = base64.b64encode(data).decode()
    return [
        text,
        repr(text)[1:-1],
        ascii(text)[1:-1],
        repr(data)[2:-1],
        json.dumps(text)[1:-1],
        quote(text, safe="", errors="replace"),
        quote_plus(text, errors="replace"),
        coded,
        coded.rstrip("="),
    ]
