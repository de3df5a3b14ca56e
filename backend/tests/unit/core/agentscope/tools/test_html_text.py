from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.tools.html_text import html_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a &lt;b&gt; &amp; &euro;&#252;", "a <b> & €ü"),
        ("<p>One <b>bold</b></p><p>Two</p>", "One bold\n\nTwo"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<title>T</title><script>if (a</b/>) {}</script>x<style>p{}</style>y", "T\nxy"),
        ("a<SCRIPT type='x'>&lt;</SCRIPT >b", "ab"),
        ("a<svg><p>x</p><svg></svg>y</svg>b", "ab"),
        ("a<svg/>b", "ab"),
        ("<noscript>Turn on</noscript>b", "b"),
        ("a<!-- no -->b<!DOCTYPE x>c<![CDATA[d]]>e<?php f ?>g", "abceg"),
        ("a <![<![if x]> b", "a b"),
        ("  much \n\n\n\n  space\t here ", "much\n\nspace here"),
        ("<p>never closed <b>at all", "never closed at all"),
        ("text<script>never closed", "text"),
        ("a<b", "a"),
    ],
)
def test_page_is_reduced_to_its_text(html: str, text: str) -> None:
    assert html_text(html) == text


def test_long_script_does_not_cut_the_page() -> None:
    assert html_text(f"a<script>{'x' * 600_000}</script>b") == "ab"


def test_page_that_takes_too_long_is_cut_and_says_so() -> None:
    ticks = itertools.count()
    page = "<p>word</p>" * 100_000

    text = html_text(page, max_seconds=3, clock=lambda: float(next(ticks)))

    assert text.startswith("word\n\nword")
    assert text.endswith("[the rest of the page could not be read]")


@pytest.mark.parametrize(
    "pattern",
    ["<", "<!--", "<![", "<!x", "</", "</x", "<a ", "<a a='", "&", "&#", "<?", "<svg>", "<a\n", "<script></"],
)
def test_page_made_to_be_slow_ends(pattern: str) -> None:
    page = pattern * ((1 << 20) // len(pattern))
    started = time.process_time()

    html_text(page, max_seconds=1)

    # The quadratic readings of such pages take minutes.
    assert time.process_time() - started < 20


@given(st.text(st.sampled_from("<>/!-[]?&;#='\" abpscritle"), max_size=200))
def test_no_page_fails(html: str) -> None:
    html_text(html)
