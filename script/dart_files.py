"""Dart files as a parser sees them: their places of error, their imports, the names they declare and use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import tree_sitter_dart
import yaml
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_dart.language()))
_GENERATED = {".dart_tool", "build", "ephemeral"}
"""Folders that Flutter writes."""
_TYPES = {
    "class_definition",
    "mixin_declaration",
    "extension_declaration",
    "extension_type_declaration",
    "enum_declaration",
    "type_alias",
    "mixin_application_class",
}
_FUNCTIONS = {"function_signature", "getter_signature", "setter_signature"}
_VARIABLES = {"static_final_declaration", "initialized_identifier"}


def text_of(node: Node) -> str:
    """Return the source of a node."""
    return (node.text or b"").decode()


def line_of(node: Node) -> int:
    """Return the line of a node, counted from 1."""
    return node.start_point.row + 1


def descendants(node: Node, *kinds: str) -> Iterator[Node]:
    """Yield the nodes of some kinds below a node, in the order of the source; the node itself included."""
    left = [node]
    while left:
        found = left.pop()
        if found.type in kinds:
            yield found
        left.extend(reversed(found.children))


def name_of(declaration: Node) -> str:
    """Return the name that a declaration gives; empty if it has none, such as an extension without a name."""
    named = declaration.child_by_field_name("name")
    if named is None:
        named = next((child for child in declaration.children if child.type == "identifier"), None)
    if named is None and declaration.type == "type_alias":
        named = next((child for child in declaration.children if child.type == "type_identifier"), None)
    if named is None and declaration.type == "mixin_application_class":
        named = next(descendants(declaration, "identifier"), None)
    return "" if named is None else text_of(named)


@dataclass(frozen=True, slots=True)
class Directive:
    """An ``import``, ``export`` or ``part``."""

    kind: str
    line: int
    uris: tuple[str, ...]
    """More than one for a conditional import."""
    prefix: str = ""
    shown: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()

    def passes(self, names: set[str]) -> set[str]:
        """Return those of a library's names that come through."""
        return (names & self.shown if self.shown else names) - self.hidden


@dataclass
class DartFile:
    """One file."""

    path: Path
    root: Node

    @classmethod
    def read(cls, path: Path) -> DartFile:
        """Parse a file."""
        return cls(path, _PARSER.parse(path.read_bytes()).root_node)

    @cached_property
    def faults(self) -> list[tuple[int, str]]:
        """The lines that the grammar does not take, each with what stands there."""
        found: list[tuple[int, str]] = []
        left = [self.root]
        while left:
            node = left.pop()
            if node.is_missing:
                found.append((line_of(node), f"{node.type} is missing"))
            elif node.is_error:
                found.append((line_of(node), f"does not parse: {_short(node)}"))
            elif node.has_error:
                left.extend(reversed(node.children))
        return found

    @cached_property
    def directives(self) -> list[Directive]:
        kinds = {"library_import": "import", "library_export": "export", "part_directive": "part"}
        return [_directive(node, kinds[node.type]) for node in descendants(self.root, *kinds)]

    @cached_property
    def is_part(self) -> bool:
        return any(child.type == "part_of_directive" for child in self.root.children)

    @cached_property
    def declares(self) -> set[str]:
        """The names of the top level that other files can use."""
        names = {name_of(node) for node in self._top_level() if node.type in _TYPES | _FUNCTIONS | _VARIABLES}
        return {name for name in names if name and not name.startswith("_")}

    @cached_property
    def extends(self) -> set[str]:
        """The names of the members of extensions: their use is a use of the file."""
        extensions = descendants(self.root, "extension_declaration")
        return {name_of(node) for extension in extensions for node in descendants(extension, *_FUNCTIONS)}

    @cached_property
    def names(self) -> list[Node]:
        """Every name outside of the directives."""
        return [
            node
            for child in self.root.children
            if child.type not in {"import_or_export", "part_directive", "part_of_directive", "library_name"}
            for node in descendants(child, "identifier", "type_identifier", "identifier_dollar_escaped")
        ]

    @cached_property
    def mentions(self) -> set[str]:
        """The names in square brackets of documentation: for the analyzer, too, they are uses of an import."""
        comments = " ".join(
            text_of(node) for node in descendants(self.root, "documentation_comment", "comment")
        )
        return set(re.findall(r"\[(?:\w+\.)*?(\w+)", comments)) | set(re.findall(r"\[(\w+)\.", comments))

    def _top_level(self) -> Iterator[Node]:
        for child in self.root.children:
            yield child
            if child.type in {"static_final_declaration_list", "initialized_identifier_list"}:
                yield from child.children


def _directive(node: Node, kind: str) -> Directive:
    uris = tuple(text_of(found)[1:-1] for found in descendants(node, "string_literal"))
    shown: set[str] = set()
    hidden: set[str] = set()
    for combinator in descendants(node, "combinator"):
        names = {text_of(name) for name in descendants(combinator, "identifier")}
        (shown if text_of(combinator).startswith("show") else hidden).update(names)
    specification = next(descendants(node, "import_specification"), None)
    prefixes = [] if specification is None else specification.children
    prefix = next((text_of(child) for child in prefixes if child.type == "identifier"), "")
    return Directive(kind, line_of(node), uris, prefix, frozenset(shown), frozenset(hidden))


def _short(node: Node) -> str:
    return re.sub(r"\s+", " ", text_of(node))[:80]


@dataclass
class DartPackage:
    """A package: its pubspec, and every file that belongs to it."""

    folder: Path
    files: dict[Path, DartFile] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> DartPackage:
        """Parse every file of a package, except what Flutter writes."""
        found = cls(folder)
        for path in sorted(folder.rglob("*.dart")):
            if not _GENERATED & set(path.relative_to(folder).parts):
                found.files[path] = DartFile.read(path)
        return found

    @cached_property
    def pubspec(self) -> dict[str, object]:
        path = self.folder / "pubspec.yaml"
        return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @property
    def name(self) -> str:
        return str(self.pubspec.get("name", ""))

    def dependencies(self, *sections: str) -> set[str]:
        """Return the packages that sections of the pubspec name."""
        return {name for section in sections for name in (self.pubspec.get(section) or {})}  # type: ignore[attr-defined]

    def place(self, uri: str, file: DartFile) -> Path | None:
        """Return where a file of this package is that a URI names; ``None`` for a URI of another package."""
        if uri.startswith(own := f"package:{self.name}/"):
            return self.folder / "lib" / uri.removeprefix(own)
        return None if ":" in uri else Path(str((file.path.parent / uri).resolve()))

    def library(self, file: DartFile) -> list[DartFile]:
        """Return a file with its parts: they share imports and names."""
        places = [
            self.place(uri, file) for part in file.directives if part.kind == "part" for uri in part.uris
        ]
        return [file, *(self.files[place] for place in places if place in self.files)]

    def visible(self, file: DartFile, seen: frozenset[Path] = frozenset()) -> set[str]:
        """Return the names that an import of a file brings: its own, and those that it exports."""
        names = set(file.declares)
        for directive in file.directives:
            for uri in directive.uris if directive.kind in {"export", "part"} else ():
                target = self.place(uri, file)
                if target in self.files and target not in seen:
                    names |= directive.passes(self.visible(self.files[target], seen | {file.path}))
        return names

    def brought(self, file: DartFile) -> set[str]:
        """Return the names of the package that a file may use. What it exports alone is for others."""
        names = {name for part in self.library(file) for name in part.declares}
        for directive in file.directives:
            target = self.files.get(self.place(directive.uris[0], file) or Path())
            if directive.kind == "import" and target is not None:
                names |= directive.passes(self.visible(target))
        return names
