"""The database says which versions of the code can use it: the column ``compatible_from`` beside Alembic's revision.

A version that finds a revision newer than its own reads there whether it may go on. Alembic itself reads and writes
only ``version_num``. See docs/adr/0021.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

revision: str = "0013"
down_revision: str | Sequence[str] | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0010"


def upgrade() -> None:
    op.execute("ALTER TABLE alembic_version ADD COLUMN compatible_from varchar(32)")


def downgrade() -> None:
    op.execute("ALTER TABLE alembic_version DROP COLUMN compatible_from")
