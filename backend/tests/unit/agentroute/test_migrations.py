"""What each file of a migration says, without a database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic.script import Script

from agentroute.migrations import scripts
from agentroute.schema_state import Schema, schema

STEPS = list(reversed(list(scripts().walk_revisions())))
REVISIONS = [step.revision for step in STEPS]
# From the first migration on that was written for tables in use.
IN_USE = [step for step in STEPS if step.revision >= "0012"]


def test_the_names_of_the_migrations_tell_the_schema_as_alembic_does() -> None:
    assert vars(schema()) == vars(Schema(REVISIONS))


@pytest.mark.parametrize("step", STEPS, ids=REVISIONS)
def test_each_migration_says_who_can_use_the_schema_after_it(step: Script) -> None:
    oldest = getattr(step.module, "compatible_from", None)

    assert oldest in REVISIONS[: REVISIONS.index(step.revision) + 1], "CONTRIBUTING.md, 'Add a migration'"


@pytest.mark.parametrize("step", IN_USE, ids=[step.revision for step in IN_USE])
def test_indexes_are_built_while_the_service_runs(step: Script) -> None:
    upgrade = _upgrade(step)
    # Nobody uses a table before it is there.
    new = re.findall(r'op\.create_table\(\s*"(\w+)"', upgrade)

    for call in re.findall(r"op\.(?:create|drop)_index\((?:[^()]|\([^()]*\))*\)", upgrade):
        assert "postgresql_concurrently=True" in call or any(f'"{table}"' in call for table in new), call


@pytest.mark.parametrize("step", STEPS, ids=REVISIONS)
def test_what_is_committed_by_itself_waits_as_long_as_it_takes(step: Script) -> None:
    assert "autocommit_block" not in _upgrade(step), "take concurrently() of agentroute/migration_steps.py"


def _upgrade(step: Script) -> str:
    text = Path(step.path).read_text(encoding="utf-8")
    return text.partition("def upgrade")[2].partition("def downgrade")[0]
