"""One word per thing: words that another word replaced are gone from the source and the documents.

Exempt are the changelog and the migrations, which tell the past, and the column of ``docs/glossary.md`` that
names the words not to use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

_ROOT = Path(__file__).parents[3]
_SUFFIXES = {".py", ".md", ".toml", ".json", ".mako"}


class Gone(NamedTuple):
    """A word that was replaced: how to find it, what to write, and texts in which it is found."""

    pattern: str
    instead: str
    examples: tuple[str, ...]


def _word(text: str) -> str:
    """Return the pattern of a word, also as a part of a name_in_snake_case."""
    return rf"(?<![a-z]){text}(?![a-z])"


GONE = (
    # Not the method that Taskiq's brokers have.
    Gone(
        _word(r"kick(?:s|ed|ing)?(?!\(self)"),
        "hint",
        ("next_kick_at", "KICK_AGAIN", "accept-kicked", "It kicks."),
    ),
    # Not the built-in function.
    Gone(_word(r"ords?(?!\()"), "position", ("last_ord", "SELECT ord FROM", "_TAKE_ORDS")),
    Gone(_word(r"front-?end[ _-]?tools?"), "client tool", ("a frontend tool", "front-end tools")),
    Gone(_word("follow_agent"), "drive_agent", ("follow_agent(agent)",)),
    Gone(r"\bOpenCalls\b|\.open_calls\b(?= import)", "CallsAhead, or OpenToolCalls", ("OpenCalls()",)),
    Gone(_word("what began"), "placeholder", ("writes what began",)),
    Gone(_word("placeholder calls?"), "placeholder", ("a placeholder call",)),
    Gone(r"\bcore[./]agent\b", "core.agentscope", ("from core.agent import x", "src/core/agent/")),
    Gone(r"\berrors(?:\.| import )RunFinished\b", "RunAlreadyFinished", ("errors.RunFinished",)),
    # In tests/support they have their place, and documents may name them there.
    Gone(
        r"(?<!tests/support/)(?<!tests\.support\.)\b(?:memory_(?:ports|threads)|scratch_databases)\b",
        "tests/support/…: what only tests use is not in the source",
        ("v1.agent.memory_ports", "agentroute/scratch_databases.py"),
    ),
    Gone(r"\b(?:ApiResources|AgentContainer)\b", "ApiContainer", ("AgentContainer",)),
)


def _lines() -> Iterator[tuple[str, str]]:
    """Yield every line that counts, with its place."""
    files = [
        *(_ROOT / "backend" / "src").rglob("*"),
        *(_ROOT / "docs").rglob("*"),
        *(_ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    ]
    for path in files:
        if path.suffix not in _SUFFIXES:
            continue
        name = path.relative_to(_ROOT).as_posix()
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            yield f"{name}:{number}", _without_last_column(line) if name == "docs/glossary.md" else line


def _without_last_column(row: str) -> str:
    return row.rstrip("| ").rpartition("|")[0] if row.startswith("|") else row


@pytest.mark.parametrize("gone", GONE, ids=lambda gone: gone.instead)
def test_a_replaced_word_is_gone(gone: Gone) -> None:
    pattern = re.compile(gone.pattern, re.IGNORECASE)

    found = [f"{place}: {line.strip()}" for place, line in _lines() if pattern.search(line)]

    assert not found, f"write '{gone.instead}' in:\n" + "\n".join(found)


@pytest.mark.parametrize("gone", GONE, ids=lambda gone: gone.instead)
def test_a_replaced_word_would_be_found(gone: Gone) -> None:
    assert all(re.search(gone.pattern, example, re.IGNORECASE) for example in gone.examples)


@pytest.mark.parametrize(
    "text", ["order", "ordinal", "record", "ord(letter)", "AsyncKicker", "tests/support/memory_ports.py"]
)
def test_other_words_are_left_alone(text: str) -> None:
    assert not any(re.search(gone.pattern, text, re.IGNORECASE) for gone in GONE)
