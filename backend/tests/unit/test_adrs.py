"""Every decision is cited in the code that it explains, listed in the index, and every citation has its file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
SOURCES = sorted([*(ROOT / "backend" / "src").rglob("*.py"), *(ROOT / "script").rglob("*.py")])

_CITATION = re.compile(r"docs/adr/(\d{4})(-[a-z0-9-]+\.md)?")


def citations() -> set[tuple[str, str, str]]:
    """Return the file, the number and the rest of the file name of every citation in the code."""
    return {
        (path.relative_to(ROOT).as_posix(), number, rest)
        for path in SOURCES
        for number, rest in _CITATION.findall(path.read_text(encoding="utf-8"))
    }


def name(decision: Path) -> str:
    return decision.stem


@pytest.mark.parametrize("decision", DECISIONS, ids=name)
def test_every_decision_is_cited_in_the_code(decision: Path) -> None:
    assert decision.name[:4] in {number for _, number, _ in citations()}


def test_every_citation_names_a_decision_that_exists() -> None:
    names = {decision.name[:4]: decision.name[4:] for decision in DECISIONS}
    wrong = [
        f"{path}: docs/adr/{number}{rest}"
        for path, number, rest in sorted(citations())
        if number not in names or (rest and rest != names[number])
    ]
    assert wrong == []


def test_numbers_are_unique_and_without_gaps() -> None:
    numbers = [int(decision.name[:4]) for decision in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("decision", DECISIONS, ids=name)
def test_the_index_has_the_title_of_every_decision(decision: Path) -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    heading = decision.read_text(encoding="utf-8").splitlines()[0]
    number, _, title = heading.removeprefix("# ").partition(": ")
    assert number == decision.name[:4]
    assert f"| [{number}]({decision.name}) | {title} |" in index
