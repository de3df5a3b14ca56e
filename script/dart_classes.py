"""The classes of a Dart package: what they extend, what they are constructed with, what they have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dart_files import DartFile, DartPackage, descendants, line_of, name_of, text_of
from tree_sitter import Node

CLASSES = ("class_definition", "enum_declaration", "mixin_declaration", "extension_type_declaration")
_CONSTRUCTORS = (
    "constant_constructor_signature",
    "constructor_signature",
    "factory_constructor_signature",
    "redirecting_factory_constructor_signature",
)
_METHODS = ("function_signature", "getter_signature", "setter_signature")


@dataclass
class Signature:
    """The parameters of a function."""

    required: int = 0
    """Positional ones that have to be there."""
    positional: int = 0
    named: dict[str, bool] = field(default_factory=dict)
    """Each with whether it has to be there."""

    @classmethod
    def of(cls, node: Node) -> Signature:
        """Read the list of parameters of a declaration."""
        found = cls()
        for parameters in (child for child in node.children if child.type == "formal_parameter_list"):
            for child in parameters.children:
                if child.type == "formal_parameter":
                    found.required += 1
                    found.positional += 1
                elif child.type == "optional_formal_parameters":
                    found._add_optional(child)
        return found

    def _add_optional(self, node: Node) -> None:
        is_named = text_of(node).startswith("{")
        required = False
        for child in node.children:
            if child.type == "required":
                required = True
            elif child.type == "formal_parameter":
                if is_named:
                    self.named[_parameter_name(child)] = required
                else:
                    self.positional += 1
                required = False

    def misfit(self, arguments: Node) -> str:
        """Return what is wrong with the arguments of a call; empty if nothing is."""
        positional = sum(1 for child in arguments.children if child.type == "argument")
        named = {
            text_of(label).rstrip(":").strip()
            for child in arguments.children
            if child.type == "named_argument"
            for label in child.children[:1]
        }
        if unknown := sorted(named - self.named.keys()):
            return f"has no parameter {', '.join(unknown)}"
        if missing := sorted(name for name, required in self.named.items() if required and name not in named):
            return f"needs {', '.join(missing)}"
        if not self.required <= positional <= self.positional:
            return f"takes {self.required} to {self.positional} positional arguments, not {positional}"
        return ""


def _parameter_name(node: Node) -> str:
    named = node.child_by_field_name("name")
    if named is not None:
        return text_of(named)
    # `this.x`, `super.x`, `int f(int x)`: the first name that is no type.
    return next((text_of(found) for found in descendants(node, "identifier")), "")


@dataclass
class Field:
    """A variable of an instance."""

    name: str
    line: int
    is_final: bool
    is_late: bool
    is_nullable: bool
    has_value: bool


@dataclass
class DartClass:
    """A class, an enum or a mixin."""

    name: str
    file: DartFile
    node: Node
    kinds: set[str]
    """``sealed``, ``abstract`` and so on; ``enum`` and ``mixin``, too."""
    extends: str
    supers: list[str]
    """All that it extends, implements and mixes in."""
    constructors: dict[str, tuple[Signature, Node]] = field(default_factory=dict)
    """By name; that of the unnamed one is empty."""
    statics: dict[str, Signature | None] = field(default_factory=dict)
    """With the parameters of those that are functions."""
    values: list[str] = field(default_factory=list)
    """Of an enum."""
    members: dict[str, Signature | None] = field(default_factory=dict)
    """Of an instance, with the parameters of methods."""
    abstract_members: dict[str, Signature | None] = field(default_factory=dict)
    fields: list[Field] = field(default_factory=list)

    @property
    def is_concrete(self) -> bool:
        return not self.kinds & {"sealed", "abstract", "mixin", "enum"}


def classes_of(package: DartPackage) -> dict[str, DartClass]:
    """Return the classes of a package by name. A name that two files give is left out: which is meant is not known."""
    found: dict[str, DartClass] = {}
    doubled: set[str] = set()
    for file in package.files.values():
        for node in file.root.children:
            if node.type in CLASSES and (name := name_of(node)):
                if name in found:
                    doubled.add(name)
                found[name] = _class(name, file, node)
    return {name: item for name, item in found.items() if name not in doubled}


def _class(name: str, file: DartFile, node: Node) -> DartClass:
    extends = ""
    supers: list[str] = []
    for child in node.children:
        if child.type in {"superclass", "interfaces", "mixins"}:
            names = [text_of(found) for found in _direct_types(child)]
            if child.type == "superclass" and child.children[0].type == "extends":
                extends = names[0] if names else ""
            supers += names
    kinds = {child.type for child in node.children} & {
        "sealed",
        "abstract",
        "base",
        "interface",
        "final",
        "mixin",
    }
    if node.type in {"enum_declaration", "mixin_declaration", "extension_type_declaration"}:
        kinds.add(node.type.split("_")[0])
    found = DartClass(name, file, node, kinds, extends, supers)
    body = node.child_by_field_name("body") or next(
        (child for child in node.children if child.type.endswith("_body")), None
    )
    if body is not None:
        _read_body(found, body)
    return found


def _direct_types(node: Node) -> Iterator[Node]:
    for child in node.children:
        if child.type == "type_identifier":
            yield child
        elif child.type == "mixins":
            yield from _direct_types(child)


def _read_body(found: DartClass, body: Node) -> None:
    members = [child for child in body.children if child.is_named]
    for number, member in enumerate(members):
        if member.type == "enum_constant":
            found.values.append(name_of(member))
            continue
        has_body = number + 1 < len(members) and members[number + 1].type == "function_body"
        is_static = any(child.type == "static" for child in member.children)
        for child in member.children:
            if child.type in _CONSTRUCTORS:
                names = [text_of(part) for part in child.children if part.type == "identifier"]
                found.constructors[names[1] if len(names) > 1 else ""] = (Signature.of(child), child)
            elif child.type in _METHODS:
                signature = Signature.of(child) if child.type == "function_signature" else None
                if is_static:
                    found.statics[name_of(child)] = signature
                elif has_body or any(part.type == "external" for part in member.children):
                    found.members[name_of(child)] = signature
                else:
                    found.abstract_members[name_of(child)] = signature
            elif child.type in {"static_final_declaration_list", "initialized_identifier_list"}:
                _read_fields(found, member, child, is_static=is_static)


def _read_fields(found: DartClass, member: Node, variables: Node, *, is_static: bool) -> None:
    types = {part.type for part in member.children}
    is_nullable = "nullable_type" in types or any(
        part.type in {"function_type", "record_type"} and text_of(part).endswith("?")
        for part in member.children
    )
    for variable in variables.children:
        if variable.type not in {"static_final_declaration", "initialized_identifier"}:
            continue
        name = name_of(variable)
        if is_static:
            found.statics[name] = None
            continue
        found.members[name] = None
        found.fields.append(
            Field(
                name,
                line_of(variable),
                "final_builtin" in types,
                "late" in types,
                is_nullable or "dynamic" in text_of(member).split(),
                len(variable.children) > 1,
            )
        )
