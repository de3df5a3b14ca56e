"""Keys and passwords as people paste them: corrected, or a line that names the variable; never in a log."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import httpx
import pytest

from agentroute.settings_errors import InvalidSettings, load_settings
from core.config import IdentitySettings, ModelSettings, Settings
from core.redaction import MASK, Redactor, secret_forms, secrets_of

KEYS = ("AGENT_MODEL__API_KEY", "AGENT_TRANSCRIPTION__API_KEY")
URLS = ("AGENT_DATABASE__URL", "AGENT_REDIS__URL")
JWT = "AGENT_IDENTITY__JWT_SECRET"
KEY = "house-key-without-figures"
URL = "redis://:house-password@host:6379/0"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEYS, *URLS, JWT):
        monkeypatch.delenv(name, raising=False)


def value_of(variable: str) -> str:
    section, member = variable.lower().removeprefix("agent_").split("__")
    return getattr(getattr(Settings(), section), member).get_secret_value()


@pytest.mark.parametrize("variable", KEYS)
@pytest.mark.parametrize(
    "pasted", [f"{KEY}\n", f"{KEY}\r\n", f" {KEY}", f"\t{KEY} ", f"{KEY}\u2028", f"\u00a0{KEY}"]
)
def test_white_space_around_a_key_is_removed(
    monkeypatch: pytest.MonkeyPatch, variable: str, pasted: str
) -> None:
    monkeypatch.setenv(variable, pasted)
    assert value_of(variable) == KEY


@pytest.mark.parametrize("variable", URLS)
@pytest.mark.parametrize("pasted", [f"{URL}\n", f" {URL}"])
def test_white_space_around_a_url_is_removed(
    monkeypatch: pytest.MonkeyPatch, variable: str, pasted: str
) -> None:
    monkeypatch.setenv(variable, pasted)
    assert value_of(variable) == URL


def test_white_space_around_an_address_is_removed() -> None:
    assert ModelSettings(base_url=" https://a.example/v1\n").base_url == "https://a.example/v1"


@pytest.mark.parametrize(
    ("variables", "pasted", "told"),
    [
        (KEYS, f"{KEY}\u200b", "U+200B (zero width space) as character 26"),
        (KEYS, f"\ufeff{KEY}", "U+FEFF (zero width no-break space) as character 1"),
        (KEYS, "house\u2013key", "U+2013 (en dash) as character 6"),
        (KEYS, "schlüssel", "U+00FC"),
        (KEYS, "house\nkey", "U+000A"),
        (KEYS, "house key", "U+0020 (space) as character 6"),
        (KEYS, "house\x7fkey", "U+007F"),
        (KEYS, f'"{KEY}"', "is in quotes"),
        (KEYS, f"Bearer {KEY}", "begins with Bearer"),
        (URLS, URL.replace("house", "house\u200b"), "U+200B"),
        (URLS, URL.replace("house", "house\n"), "U+000A"),
        ((JWT,), "a-secret-of-more-than-thirty-two-bytes\n", "white space"),
        ((JWT,), " a-secret-of-more-than-thirty-two-bytes", "white space"),
    ],
)
def test_what_cannot_work_is_a_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variables: tuple[str, ...], pasted: str, told: str
) -> None:
    for variable in variables:
        monkeypatch.setenv(variable, pasted)
        with pytest.raises(InvalidSettings) as caught:
            load_settings()
        (line,) = caught.value.problems
        assert line.startswith(f"{variable}: ")
        assert told in line
        assert "house" not in line
        assert "secret-of" not in line
        monkeypatch.delenv(variable)


SECRET = 'house"key\\wíth%all\n of it'
FORMS = {
    "as it is": SECRET,
    "without its line break": SECRET.strip(),
    "repr": repr(SECRET),
    "repr of bytes": repr(f"Bearer {SECRET}".encode()),
    "ascii": ascii(SECRET),
    "json": json.dumps(SECRET),
    "percent-encoded": quote(SECRET, safe=""),
    "base64": base64.b64encode(SECRET.encode()).decode(),
}


@pytest.mark.parametrize("written", FORMS.values(), ids=FORMS.keys())
def test_a_secret_is_masked_in_every_form(written: str) -> None:
    shown = Redactor(secret_forms(SECRET)).text(f"error: {written}!")
    assert MASK in shown
    assert "house" not in shown
    assert base64.b64encode(b"house").decode()[:6] not in shown


def test_basic_authentication_of_a_url_is_masked() -> None:
    settings = Settings.model_validate({"redis": {"url": "redis://ada:p%40ss-of-the-house@host:6379/0"}})
    redactor = Redactor(secrets_of(settings))
    coded = base64.b64encode(b"ada:p@ss-of-the-house").decode()
    for written in (coded, "p@ss-of-the-house", "p%40ss-of-the-house"):
        assert redactor.text(f"<{written}>") == f"<{MASK}>"


def test_the_error_of_a_header_that_cannot_be_sent_does_not_show_the_key() -> None:
    """What the HTTP client says of such a key, should one get past the settings."""
    key = f"{KEY}\n"
    error = httpx.LocalProtocolError(f"Illegal header value {f'Bearer {key}'.encode()!r}")
    assert KEY not in Redactor(secret_forms(key)).text(repr(error))


def test_a_shared_secret_is_kept_exactly() -> None:
    secret = "ein-geheimnis-mit-ümlauten-und mehr-als-32-bytes"
    assert IdentitySettings.model_validate({"jwt_secret": secret}).jwt_secret.get_secret_value() == secret
