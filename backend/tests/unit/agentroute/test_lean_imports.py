"""Imports that are declined or put off while a process starts, and real afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = {
    # What AgentScope and the libraries do, in small.
    "openai": "LOADED = True\n",
    "openai.types": "WORD = 'real'\n",
    "rich": "",
    "structlog": "try:\n    import rich\nexcept ImportError:\n    rich = None\n",
    "plain": "import openai\ndef use():\n    return openai.LOADED\n",
    "eager": "from openai import LOADED\nimport openai.types\n",
}
START = """
import gc, importlib, sys
from agentroute import lean_imports
lean_imports._OPTIONAL = {"structlog": "rich"}
lean_imports._OPTIONAL_OF_WORKERS = {}
with lean_imports.lean_imports(worker=True):
    assert not gc.isenabled()
    import plain, structlog
    loaded = type(plain.openai).__name__
assert gc.isenabled()
assert gc.get_threshold() == lean_imports._COLLECT_AFTER
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    for name, text in PACKAGES.items():
        folder = tmp_path.joinpath(*name.split("."))
        folder.mkdir()
        (folder / "__init__.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("print(loaded, 'openai' in sys.modules)", "_LaterModule False"),
        ("print(plain.use(), type(sys.modules['openai']).__name__)", "True module"),
        ("import openai; print(type(openai).__name__, openai.LOADED)", "module True"),
        ("from openai import types; print(types.WORD, plain.openai.types is types)", "real True"),
        ("print(hasattr(plain.openai, '__file__'), 'openai' in sys.modules)", "False False"),
        ("print(structlog.rich, 'rich' in sys.modules)", "None False"),
        ("import rich; print(rich.__name__)", "rich"),
    ],
)
def test_a_module_nobody_uses_is_not_imported_and_is_real_for_those_who_use_it(
    packages: Path, then: str, said: str
) -> None:
    assert _run(packages, START + then) == said


def test_a_library_that_needs_the_module_at_once_gets_it(packages: Path) -> None:
    program = START.replace("import plain, structlog", "import eager, plain, structlog")

    assert (
        _run(packages, f"{program}\nprint(eager.LOADED, eager.openai.types.WORD, loaded)")
        == "True real module"
    )


def test_a_dependency_that_is_already_imported_stays(packages: Path) -> None:
    assert (
        _run(packages, f"import rich\n{START}\nprint(structlog.rich is rich is sys.modules['rich'])")
        == "True"
    )


def _run(packages: Path, program: str) -> str:
    return subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(packages)!r})\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
