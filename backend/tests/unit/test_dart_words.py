"""The Flutter app says of each refusal what the chat page says: one list of codes, one set of words."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]
_DART = _ROOT / "apps/lib/features/chat/presentation/problems/problem_words.dart"
_PAGE = _ROOT / "clients/page/src/problems/words.ts"

_DART_ENTRY = re.compile(
    r"^  '(?P<code>[a-z0-9-]+)': ProblemWords\(\s*'(?P<title>(?:[^'\\]|\\.)*)',\s*'(?:[^'\\]|\\.)*'(?:,\s*Remedy\.(?P<remedy>\w+))?,?\s*\),$",
    re.MULTILINE,
)
_PAGE_ENTRY = re.compile(
    r'^  "?(?P<code>[a-z0-9-]+)"?: words\("(?P<title>[^"]*)", (?:"[^"]*"|[A-Z]+)(?:, "(?P<remedy>\w+)")?\),$',
    re.MULTILINE,
)


def _entries(pattern: re.Pattern[str], source: Path) -> dict[str, tuple[str, str]]:
    found = pattern.finditer(source.read_text())
    return {one["code"]: (one["title"].replace("\\'", "'"), one["remedy"] or "none") for one in found}


def test_the_app_has_the_words_of_the_page() -> None:
    app, page = _entries(_DART_ENTRY, _DART), _entries(_PAGE_ENTRY, _PAGE)
    assert len(page) > 60, "the form of words.ts has changed: read it again here"
    assert app.keys() == page.keys()
    # An app is no page and has no browser: only there the words are others.
    same = {code for code, (title, _) in page.items() if not re.search(r"\b(page|browser)\b", title)}
    assert {code: app[code] for code in same} == {code: page[code] for code in same}
    assert {code: remedy for code, (_, remedy) in app.items()} == {
        code: remedy for code, (_, remedy) in page.items()
    }
