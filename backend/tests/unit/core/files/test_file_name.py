"""Names of uploads: shown, sent in a header, never a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.files.file_name import MAX_CHARACTERS, clean_name, content_disposition

NAMES = {
    "bill.pdf": "bill.pdf",
    "../../etc/passwd": "passwd",
    "C:\\Users\\ada\\bill.pdf": "bill.pdf",
    "/": "file",
    "..": "file",
    "": "file",
    "a\x00b\r\nc\x1b[31m.txt": "ab c[31m.txt",
    "\u202egpj.exe": "gpj.exe",
    " a  b ": "a b",
    "résumé 名前.pdf": "résumé 名前.pdf",
    "x" * 10_000 + ".pdf": "x" * (MAX_CHARACTERS - 4) + ".pdf",
    "\ud800.txt": "txt",
}


@pytest.mark.parametrize("name", NAMES, ids=[ascii(name)[:20] for name in NAMES])
def test_a_name_keeps_what_can_be_shown(name: str) -> None:
    assert clean_name(name) == NAMES[name]


@given(st.text(max_size=300))
def test_a_clean_name_is_short_printable_and_stays(name: str) -> None:
    clean = clean_name(name)

    assert 0 < len(clean) <= MAX_CHARACTERS
    assert clean.isprintable()
    assert not {"/", "\\"} & set(clean)
    header = content_disposition(clean, "text/html")
    assert header.isascii()
    assert header.isprintable()


def test_what_is_no_image_or_plain_text_is_a_download() -> None:
    kinds = {
        kind: content_disposition("a", kind).partition(";")[0]
        for kind in ("image/png", "image/svg+xml", "text/plain", "text/html", "application/pdf")
    }

    assert kinds == {
        "image/png": "inline",
        "image/svg+xml": "inline",
        "text/plain": "inline",
        "text/html": "attachment",
        "application/pdf": "attachment",
    }


def test_a_quote_in_a_name_does_not_end_it() -> None:
    assert (
        content_disposition('a"b.png', "image/png")
        == "inline; filename=\"a_b.png\"; filename*=UTF-8''a%22b.png"
    )
