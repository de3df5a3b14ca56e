"""Whether a version of the code can use the schema that a database has."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from agentroute.schema_state import Schema, SchemaState, compatible_from


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (SchemaState(), "behind"),
        (SchemaState("1"), "behind"),
        (SchemaState("3", "1"), "current"),
        # This version's own word counts, whatever is written there.
        (SchemaState("3", "9"), "current"),
        (SchemaState("4", "1"), "newer"),
        (SchemaState("9", "3"), "newer"),
        (SchemaState("4", "4"), "incompatible"),
        # A database that says nothing: one of a version before the column, or of another program.
        (SchemaState("4"), "incompatible"),
    ],
)
def test_a_newer_schema_can_be_used_if_it_names_a_revision_that_this_version_knows(
    found: SchemaState, verdict: str
) -> None:
    assert Schema(["1", "2", "3"]).judge(found) == verdict


class Scripts:
    """Migrations, oldest first: each with what it says, or nothing."""

    def __init__(self, **said: str | None) -> None:
        self._steps = [
            SimpleNamespace(
                revision=revision.removeprefix("r"),
                module=SimpleNamespace(**({} if oldest is None else {"compatible_from": oldest})),
            )
            for revision, oldest in said.items()
        ]

    def iterate_revisions(self, upper: str, lower: str) -> Iterator[Any]:
        assert lower == "base"
        at = [step.revision for step in self._steps].index(upper)
        return reversed(self._steps[: at + 1])


@pytest.mark.parametrize(
    ("said", "oldest"),
    [
        ({"r0010": None, "r0011": None, "r0013": "0010"}, "0011"),
        ({"r0010": "0010", "r0012": "0010", "r0013": "0010"}, "0010"),
        # What an earlier step took, a later one does not give back.
        ({"r0012": "0012", "r0013": "0012", "r0014": "0014", "r0015": "0012"}, "0014"),
        # A migration that says nothing can only be used by its own version.
        ({"r0012": "0012", "r0013": "0012", "r0014": None}, "0014"),
        ({"r0010": None, "r0011": None}, None),
    ],
)
def test_the_strictest_of_all_steps_counts(said: dict[str, str | None], oldest: str | None) -> None:
    scripts: Any = Scripts(**said)

    assert compatible_from(scripts, list(said)[-1].removeprefix("r")) == oldest
