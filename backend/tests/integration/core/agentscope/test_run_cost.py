"""What every run costs: nothing is built twice in a process."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pydantic.json_schema import GenerateJsonSchema
from sqlalchemy.sql.compiler import SQLCompiler
from tests.support.stack import Stack

QUESTION = "think about it, then calculate 6*7"
"""A run with an intent, a tool and an answer."""


class Built:
    """What is built while a test watches."""

    def __init__(self) -> None:
        self.schemas: list[str] = []
        self.statements: Counter[tuple[int, str]] = Counter()
        """SQL texts by the engine that compiled them."""


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Built:
    """Count JSON schemas and compiled statements, of the API and the worker."""
    found = Built()
    generate, compile_ = GenerateJsonSchema.generate, SQLCompiler.__init__

    def generated(self: GenerateJsonSchema, schema: Any, *args: Any, **options: Any) -> Any:
        result = generate(self, schema, *args, **options)
        found.schemas.append(str(result)[:200])
        return result

    def compiled(self: Any, dialect: Any, statement: Any, *args: Any, **options: Any) -> None:
        compile_(self, dialect, statement, *args, **options)
        found.statements[id(dialect), self.string] += 1

    monkeypatch.setattr(GenerateJsonSchema, "generate", generated)
    monkeypatch.setattr(SQLCompiler, "__init__", compiled)
    return found


async def test_a_second_run_builds_no_json_schema_and_compiles_no_sql(stack: Stack, built: Built) -> None:
    first = await stack.stream_run(QUESTION)
    assert "42" in first.text
    before = set(built.statements)
    built.schemas.clear()
    built.statements.clear()
    second = await stack.stream_run(QUESTION)
    assert second.text == first.text
    assert built.schemas == []
    # A background loop may compile a statement of its own for the first time meanwhile: that is no repetition.
    assert [text for engine, text in built.statements if (engine, text) in before] == []
