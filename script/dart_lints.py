"""Lints of the analyzer that need no types, of those that apps/analysis_options.yaml switches on: each stops the analyzer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dart_files import DartFile, DartPackage, descendants, line_of, text_of

Problem = tuple[Path, int, str]
_COUNTED = re.compile(r"\.length\s*(?:==|!=|<=|>=|<|>)\s*0", re.DOTALL)
_SECTIONS = ("dart:", "package:")


def lint_problems(package: DartPackage) -> Iterator[Problem]:
    """Yield what the analyzer would stop at."""
    for file in package.files.values():
        yield from _counted(file)
        yield from _unordered(file)


def _counted(file: DartFile) -> Iterator[Problem]:
    """Find lengths that are compared to nothing (``prefer_is_empty``)."""
    for node in descendants(file.root, "equality_expression", "relational_expression"):
        if _COUNTED.search(text_of(node)):
            yield file.path, line_of(node), "a length is compared with 0: ask isEmpty or isNotEmpty"


def _unordered(file: DartFile) -> Iterator[Problem]:
    """Find imports out of order (``directives_ordering``): dart, packages, files; each by the alphabet."""
    before = (0, "")
    for directive in file.directives:
        if directive.kind != "import":
            continue
        uri = directive.uris[0]
        section = next(
            (number for number, start in enumerate(_SECTIONS) if uri.startswith(start)), len(_SECTIONS)
        )
        if (section, uri) < before:
            yield file.path, directive.line, f"the import of {uri} belongs in front of that of {before[1]}"
        before = (section, uri)
