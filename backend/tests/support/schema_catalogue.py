"""What code relies on in a schema, read from the catalogue, and what a later schema takes away of it."""

from __future__ import annotations

import asyncpg

# One row a thing: what it is, its name, and what must not change about it.
_THINGS = """
SELECT 'table' AS kind, c.relname::text AS name, '' AS form
FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT 'column', c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
-- A column that an INSERT has to name.
SELECT 'demand', c.relname || '.' || a.attname, ''
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
UNION ALL
SELECT 'demand', k.conrelid::regclass || ': ' || pg_get_constraintdef(k.oid), ''
FROM pg_constraint AS k WHERE k.connamespace = 'public'::regnamespace AND k.contype IN ('c', 'f', 'x')
UNION ALL
SELECT 'unique', i.indrelid::regclass || ': ' || regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', ''), ''
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique
UNION ALL
SELECT 'function', p.oid::regprocedure::text, format_type(p.prorettype, NULL)
FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
"""

Catalogue = dict[tuple[str, str], str]


async def catalogue(url: str) -> Catalogue:
    """Return what code relies on in the schema of a database: kind and name, and the form of each thing."""
    connection = await asyncpg.connect(url)
    try:
        return {(row["kind"], row["name"]): row["form"] for row in await connection.fetch(_THINGS)}
    finally:
        await connection.close()


def taken(before: Catalogue, after: Catalogue) -> list[str]:
    """Return why code of the schema before may fail on the schema after; empty if each change only adds.

    Code reads and writes the tables, columns and functions it knows, names the unique columns of ``ON CONFLICT``, and
    its rows meet the demands it knows: of what was there before, nothing may go, and no demand may come.
    """
    tables = {name for kind, name in before if kind == "table"}
    found = [
        f"{kind} {name}"
        for (kind, name), form in before.items()
        if kind != "demand" and after.get((kind, name)) != form
    ]
    found += [
        f"new {kind} {name}"
        for kind, name in after.keys() - before.keys()
        # A new table is written by new code alone.
        if kind in ("demand", "unique") and name.partition(":")[0].partition(".")[0] in tables
    ]
    return sorted(found)
