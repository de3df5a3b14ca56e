"""There is no ``core.agent``: the agent lives in ``core.agentscope``, and nothing may bring the old name back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

BACKEND = Path(__file__).parents[4]
LEGACY = "core.agent"


def sources() -> Iterator[Path]:
    for directory in ("src", "tests", "alembic"):
        yield from (BACKEND / directory).rglob("*.py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every module an import statement names, ``from core import agent`` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_legacy(module: str) -> bool:
    return module == LEGACY or module.startswith(LEGACY + ".")


def test_nothing_imports_the_legacy_package() -> None:
    found = [
        f"{path.relative_to(BACKEND)}: {module}"
        for path in sources()
        for module in imported(ast.parse(path.read_bytes()))
        if is_legacy(module)
    ]

    assert found == []


def test_the_legacy_package_does_not_exist() -> None:
    assert not (BACKEND / "src" / "core" / "agent").exists()
    assert not (BACKEND / "src" / "core" / "agent.py").exists()


@pytest.mark.parametrize(
    ("statement", "legacy"),
    [
        ("import core.agent", True),
        ("import core.agent.runtime as r", True),
        ("from core.agent import x", True),
        ("from core.agent.events import y", True),
        ("from core import agent", True),
        ("def f():\n    from core import agent", True),
        ("import core.agentscope", False),
        ("from core.agentscope import events", False),
        ("from v1 import agent", False),
    ],
)
def test_the_check_sees_every_form_of_import(statement: str, legacy: bool) -> None:
    assert any(is_legacy(module) for module in imported(ast.parse(statement))) is legacy
