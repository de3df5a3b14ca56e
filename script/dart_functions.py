"""Checks of Dart functions: their calls fit, and what a file uses of other libraries is imported.

Without types it is not known which method is called. So a call is a fault only if it fits no function of that name that
it could mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from dart_classes import Signature
from dart_files import DartFile, DartPackage, descendants, line_of, name_of, text_of
from tree_sitter import Node

Problem = tuple[Path, int, str]
_BINDINGS = (
    "formal_parameter",
    "initialized_variable_definition",
    "initialized_identifier",
    "variable_pattern",
)
_OF_OTHERS = {"dart:typed_data": "package:flutter/"}
"""Packages that hand on names of a library of Dart."""
_SHORT = {"utf8", "base64"}


def function_problems(package: DartPackage, dart_names: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the calls that fit nothing, and the names that nobody brings.

    Args:
        package: What is checked.
        dart_names: Of each library of Dart the names that it alone has, separated by ``|``.
    """
    signatures = cache(_signatures)
    members: dict[str, list[Signature]] = {}
    for file in package.files.values():
        for name, found in signatures(file.root).items():
            members.setdefault(name, []).extend(found)
    prefixes = {each.prefix for file in package.files.values() for each in file.directives if each.prefix}
    for file in package.files.values():
        library = package.library(file)
        bound = {name for part in library for name in _bound(part)}
        yield from _calls(package, file, bound, members)
        if not file.is_part:
            yield from _not_imported(package, file, bound, members)
            yield from _dart_libraries(file, library, bound, dart_names)
            yield from _prefixes(file, library, prefixes - bound)


def _signatures(root: Node) -> dict[str, list[Signature]]:
    """Return the functions and methods of a file by name, wherever they are declared."""
    found: dict[str, list[Signature]] = {}
    for node in descendants(root, "function_signature"):
        found.setdefault(name_of(node), []).append(Signature.of(node))
    return found


def _bound(file: DartFile) -> Iterator[str]:
    """Yield the names of variables, fields and parameters, which may hold a function; labels, too."""
    for node in descendants(
        file.root, *_BINDINGS, "getter_signature", "static_final_declaration", "for_loop_parts"
    ):
        for child in descendants(node, "identifier"):
            yield text_of(child)
            if node.type != "formal_parameter":
                break


def _calls(
    package: DartPackage, file: DartFile, bound: set[str], members: Mapping[str, list[Signature]]
) -> Iterator[Problem]:
    """Check ``name(...)``, and ``x._name(...)``: what is private is declared in the package."""
    for node in descendants(file.root, "identifier"):
        name, arguments = text_of(node), _arguments_behind(node)
        if arguments is None or name in bound or name not in members:
            continue
        if _is_behind_dot(node) and not name.startswith("_"):
            continue
        faults = [signature.misfit(arguments) for signature in members[name]]
        if all(faults):
            yield file.path, line_of(node), f"{name} {faults[0]}"


def _not_imported(
    package: DartPackage, file: DartFile, bound: set[str], members: Mapping[str, list[Signature]]
) -> Iterator[Problem]:
    """Find calls of functions that only another file of the package declares, and that no import brings."""
    here = package.brought(file)
    library = package.library(file)
    own = {name for part in library for name in _signatures(part.root)}
    for part in library:
        for node in descendants(part.root, "identifier"):
            name = text_of(node)
            if name in here | own | bound or name not in members or _is_behind_dot(node):
                continue
            if _arguments_behind(node) is None:
                continue
            homes = [other for other in package.files.values() if name in other.declares]
            # A method of that name may be inherited.
            if homes and len(members[name]) == len(homes):
                place = homes[0].path.relative_to(package.folder)
                yield part.path, line_of(node), f"{name} of {place} is not imported"


def _dart_libraries(
    file: DartFile, library: list[DartFile], bound: set[str], dart_names: Mapping[str, str]
) -> Iterator[Problem]:
    """Find names that one library of Dart alone has, in a file that does not import it."""
    imports = {uri for directive in file.directives for uri in directive.uris}
    declared = {name for part in library for name in part.declares} | bound
    for uri, names in dart_names.items():
        others = _OF_OTHERS.get(uri, "-")
        if uri in imports or any(each.startswith(others) for each in imports):
            continue
        # Short names in small letters are everybody's.
        wanted = {
            name for name in names.split("|") if name[0].isupper() or len(name) > 8 or name in _SHORT
        } - declared
        for part in library:
            for node in part.names:
                if text_of(node) in wanted and not _is_behind_dot(node):
                    yield part.path, line_of(node), f"{text_of(node)} of {uri} is not imported"


def _prefixes(file: DartFile, library: list[DartFile], prefixes: set[str]) -> Iterator[Problem]:
    """Find names such as ``http.Client`` without the import that gives the prefix, as others of the package have it."""
    wanted = prefixes - {directive.prefix for directive in file.directives}
    for part in library:
        for node in part.names:
            after = node.next_sibling
            is_prefix = after is not None and text_of(after).startswith(".") and not _is_behind_dot(node)
            if is_prefix and text_of(node) in wanted:
                yield part.path, line_of(node), f"the prefix {text_of(node)} is not imported"


def _arguments_behind(node: Node) -> Node | None:
    after = node.next_sibling
    if after is None or after.type not in {"selector", "argument_part"}:
        # The name of a method stands in a selector of its own.
        after = (
            node.parent.parent.next_sibling
            if _is_behind_dot(node) and node.parent and node.parent.parent
            else None
        )
        if after is None or after.type != "selector":
            return None
    part = after if after.type == "argument_part" else next(iter(after.children), None)
    if part is None or part.type != "argument_part":
        return None
    return next((child for child in part.children if child.type == "arguments"), None)


def _is_behind_dot(node: Node) -> bool:
    before = node.prev_sibling
    return before is not None and text_of(before) in {".", "?.", "..", "?.."}
