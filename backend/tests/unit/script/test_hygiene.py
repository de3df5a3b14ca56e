"""The repository checks find what must never be committed, and pass on what may."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[4]
_REGISTRY = "https://registry." + "npmjs.org"  # in two parts: this file is checked, too

Check = Callable[[], tuple[int, list[str]]]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository with our scripts and lock files."""
    shutil.copytree(_ROOT / "script", tmp_path / "script", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "backend").mkdir()
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(_ROOT / "backend" / name, tmp_path / "backend" / name)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


@pytest.fixture
def check(repository: Path) -> Check:
    def run() -> tuple[int, list[str]]:
        done = subprocess.run(
            [sys.executable, "-B", str(repository / "script" / "hygiene.py")],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr.splitlines()

    return run


def test_our_own_files_pass(check: Check) -> None:
    assert check() == (0, [])


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("package-lock.json", f'"resolved": "{_REGISTRY}/preact"', "the address of a package registry"),
        ("Dockerfile", "ENV UV_INDEX=https://mirror.example/" + "simple/", "the address of a package registry"),
        ("a.py", "import core." + "agent\n", "imports core." + "agent; the package is core.agentscope"),
        ("b.py", "def f():\n    from core." + "agent.tools import x\n", "imports core." + "agent"),
    ],
)  # fmt: skip
def test_a_forbidden_line_is_named(
    repository: Path, check: Check, name: str, content: str, problem: str
) -> None:
    (repository / name).write_text(content)

    code, lines = check()

    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"{name}:{content.rstrip().count(chr(10)) + 1}: {problem}")


@pytest.mark.parametrize(
    "content", ["from core.agentscope import x", "# core." + "agent", "https://example.com/simpler"]
)
def test_what_only_looks_alike_passes(repository: Path, check: Check, content: str) -> None:
    (repository / "a.py").write_text(f"{content}\n")

    assert check() == (0, [])


def test_a_binary_file_passes(repository: Path, check: Check) -> None:
    (repository / "logo.png").write_bytes(bytes(range(256)))

    assert check() == (0, [])


def test_a_uv_lock_is_refused(repository: Path, check: Check) -> None:
    (repository / "uv.lock").write_text("version = 1\n")

    assert check() == (1, ["uv.lock: names a registry; requirements.lock is what is committed"])


def test_changed_dependencies_need_new_locks(repository: Path, check: Check) -> None:
    project = repository / "backend" / "pyproject.toml"
    project.write_text(project.read_text().replace('"rich==', '"rich>='))

    assert check() == (
        1,
        [
            f"backend/{name} does not match the dependencies in pyproject.toml: run script/lock"
            for name in ("requirements.lock", "requirements-dev.lock")
        ],
    )


def test_changed_constraints_need_new_locks(repository: Path, check: Check) -> None:
    project = repository / "backend" / "pyproject.toml"
    lines = project.read_text().splitlines(keepends=True)
    project.write_text("".join(line for line in lines if not line.startswith('    "anyio==')))

    assert check() == (
        1,
        ["the constraints in backend/pyproject.toml are not those of the locks: run script/lock"],
    )


@pytest.mark.parametrize(
    "line",
    ["word " * 25, "- " + "word " * 24, "[a](b.md) " + "word " * 24],
    ids=["paragraph", "item", "link"],
)
def test_a_long_line_of_prose_is_named(repository: Path, check: Check, line: str) -> None:
    (repository / "page.md").write_text(f"# Page\n\n{line}\n")
    code, lines = check()
    assert code == 1
    assert lines == ["page.md:3: more than 120 characters of prose in a line"]


@pytest.mark.parametrize(
    "content",
    [
        "| " + "cell | " * 30,
        "```sh\n" + "word " * 30 + "\n```",
        "  ```\n  " + "word " * 30 + "\n  ```",
        "[a](" + "b" * 120 + ".md)",
        "https://example.com/" + "c" * 120,
        "ä" * 120,
    ],
    ids=["table", "code", "indented code", "link", "address", "characters, not bytes"],
)
def test_what_cannot_be_broken_may_be_long(repository: Path, check: Check, content: str) -> None:
    (repository / "page.md").write_text(f"{content}\n")
    assert check() == (0, [])
