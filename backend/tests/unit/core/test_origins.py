"""Origins: what an operator writes means what a browser sends, or the start says how to write it."""

from __future__ import annotations

import pytest

from core.origins import Origins, read_origin


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://app.example", "https://app.example"),
        (" HTTPS://App.Example/ ", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://localhost:*", "http://localhost:*"),
        ("http://[::1]:*", "http://[::1]:*"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("*", "*"),
        (" NULL ", "null"),
    ],
)
def test_an_origin_is_read_as_browsers_send_it(written: str, meant: str) -> None:
    assert read_origin(written) == meant


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("app.example", 'for example "https://app.example"'),
        ("localhost:5173/", 'for example "https://localhost:5173"'),
        ("https://app.example/chat", 'it has no path: write "https://app.example"'),
        ("https://app.example?x=1", 'it has no path: write "https://app.example"'),
        ("https://*.example.com", "name each host"),
        ("https://app-*.example.com:8443", "name each host"),
        ("https://ada@app.example", "it names no user"),
        ("https://a.example, https://b.example", "an entry of its own"),
        ("https://bücher.example", "punycode"),
        ("https://app.example:99999", "from 1 to 65535"),
        ("https://app.example:0", "from 1 to 65535"),
        ("https://app.example:", 'write "scheme://host" or "scheme://host:port"'),
        ("", "for example"),
    ],
)
def test_what_no_browser_sends_is_refused_with_the_way_to_write_it(written: str, advice: str) -> None:
    with pytest.raises(ValueError, match="is no origin") as caught:
        read_origin(written)

    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("http://localhost:5173", True),
        ("http://LOCALHOST:61234", True),
        ("https://localhost:5173", False),
        ("http://localhost.evil.example:5173", False),
        ("http://localhost:5173/", False),
        ("http://localhost:*", False),
        ("http://evil.example@localhost:1", False),
        ("https://app.example", True),
        ("https://app.example:8443", False),
        ("*", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_wildcard_stands_for_the_port_and_for_nothing_else(origin: str, allowed: bool) -> None:
    origins = Origins(("http://localhost:*", "https://app.example", "*", "null"))

    assert origins.allow(origin) is allowed
    assert origins.hosts == {"localhost", "app.example"}
