"""How many attempts of a run were given back: the number of an attempt is a fence, and no number is used twice."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | Sequence[str] | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0010"


def upgrade() -> None:
    # A constant default: no row is rewritten. The version before leaves it at 0 and counts attempts down, as it did.
    op.add_column("agent_run", sa.Column("released", sa.SmallInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("agent_run", "released")
