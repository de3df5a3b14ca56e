"""Checks of Dart that need the classes of the package: switches, calls, overrides, fields, ``await``.

Only what the package itself declares is judged, and only where its meaning is certain without types.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dart_classes import DartClass, Signature, classes_of
from dart_files import DartFile, DartPackage, descendants, line_of, text_of
from tree_sitter import Node

Problem = tuple[Path, int, str]
_OF_OBJECT = {"hashCode", "toString", "runtimeType", "noSuchMethod", "=="}
_BODIES = {"function_body", "function_expression_body"}


def call_problems(package: DartPackage) -> Iterator[Problem]:
    """Yield what is wrong with how the package uses its own classes."""
    classes = classes_of(package)
    for file in package.files.values():
        for node in descendants(file.root, "switch_expression", "switch_block", "switch_statement"):
            yield from _switch(classes, file, node)
        yield from _calls(classes, file)
        yield from _waits(file)
    for item in classes.values():
        yield from _overrides(classes, item)
        yield from _fields(item)


# --- switches -----------------------------------------------------------------------------


def _switch(classes: dict[str, DartClass], file: DartFile, node: Node) -> Iterator[Problem]:
    """Check that a switch over a sealed class or an enum of the package has a case for each."""
    cases = [child for child in node.children if child.type.startswith("switch_") and "case" in child.type]
    if any(child.type == "switch_statement_default" for child in node.children) or not cases:
        return
    covered: set[str] = set()
    named: set[str] = set()
    for case in cases:
        guarded = any(child.type == "when" for child in case.children)
        for pattern in _alternatives(case):
            names = _covers(pattern)
            if names is None:
                if not guarded:
                    return
                continue
            name, is_whole = names
            named.add(name)
            if is_whole and not guarded:
                covered.add(name)
    missing = _missing(classes, named, covered)
    if missing:
        yield file.path, line_of(node), f"the switch has no case for {', '.join(sorted(missing))}"


def _alternatives(case: Node) -> Iterator[Node]:
    for child in case.children:
        if child.type in {"when", ":", "=>"}:
            return
        if child.type.endswith("_pattern") or child.type == "parenthesized_pattern":
            yield child


def _covers(pattern: Node) -> tuple[str, bool] | None:
    """Return what a pattern is about, and whether it takes all of it; ``None`` for one that takes everything."""
    types = [text_of(child) for child in pattern.children if child.type == "type_identifier"]
    if pattern.type == "object_pattern":
        parts = [child for child in pattern.children if child.type.endswith("_pattern")]
        whole = all(part.type == "variable_pattern" and not _type_of(part) for part in parts)
        return types[0] if types else "?", whole
    if pattern.type == "variable_pattern":
        return (types[0], True) if types else None
    if pattern.type == "constant_pattern":
        text = text_of(pattern)
        return None if text == "_" else (text, True)
    return "?", False


def _type_of(pattern: Node) -> bool:
    return any(
        child.type in {"type_identifier", "record_type", "function_type"} for child in pattern.children
    )


def _missing(classes: dict[str, DartClass], named: set[str], covered: set[str]) -> set[str]:
    enums = {name.split(".")[0] for name in named if "." in name}
    if len(enums) == 1 and (item := classes.get(next(iter(enums)))) is not None and item.values:
        if any("." not in name and name != "null" for name in named):
            return set()
        return {f"{item.name}.{value}" for value in item.values} - covered
    families = [
        item.name
        for item in classes.values()
        if "sealed" in item.kinds
        and named - {"null"}
        and named - {"null"} <= _below(classes, item.name) | {item.name}
    ]
    if not families:
        return set()
    # The smallest one: what the switch is over has no type here.
    family = min(families, key=lambda name: len(_below(classes, name)))
    return _open(classes, family, covered)


def _below(classes: dict[str, DartClass], name: str) -> set[str]:
    direct = {item.name for item in classes.values() if name in item.supers}
    return direct.union(*(_below(classes, child) for child in direct))


def _open(classes: dict[str, DartClass], name: str, covered: set[str]) -> set[str]:
    """Return the classes of a family that no case takes."""
    if name in covered:
        return set()
    if "sealed" not in classes[name].kinds:
        return {name}
    return set().union(
        *(_open(classes, item.name, covered) for item in classes.values() if name in item.supers)
    )


# --- calls --------------------------------------------------------------------------------


def _calls(classes: dict[str, DartClass], file: DartFile) -> Iterator[Problem]:
    for node in descendants(file.root, "const_object_expression", "new_expression"):
        names = [text_of(child) for child in node.children if child.type in {"type_identifier", "identifier"}]
        arguments = next((child for child in node.children if child.type == "arguments"), None)
        if names and names[0] in classes and arguments is not None:
            item, constructor = classes[names[0]], names[1] if len(names) > 1 else ""
            yield from _construction(
                item, constructor, arguments, file, is_const=node.type.startswith("const")
            )
    for node in descendants(file.root, "identifier"):
        if text_of(node) in classes and not _is_declaration(node):
            yield from _use(classes[text_of(node)], node, file)


def _is_declaration(node: Node) -> bool:
    parent, before = node.parent, node.prev_sibling
    return (
        parent is None
        or parent.type.endswith("_signature")
        or parent.type in {"class_definition", "enum_declaration", "mixin_declaration", "label"}
        or (before is not None and text_of(before).endswith("."))
    )


def _use(item: DartClass, node: Node, file: DartFile) -> Iterator[Problem]:
    """Check ``Name(...)``, ``Name.member`` and ``Name.member(...)``."""
    after = node.next_sibling
    if after is None or after.type != "selector":
        return
    if (arguments := _arguments(after)) is not None:
        yield from _construction(item, "", arguments, file)
        return
    member = next((text_of(name) for name in descendants(after, "identifier")), "")
    if not text_of(after).startswith(".") or not member or member == "new":
        return
    call = after.next_sibling
    arguments = _arguments(call) if call is not None and call.type == "selector" else None
    if member in item.constructors:
        if arguments is not None:
            yield from _construction(item, member, arguments, file)
    elif member in item.statics:
        signature = item.statics[member]
        if signature is not None and arguments is not None and (fault := signature.misfit(arguments)):
            yield file.path, line_of(node), f"{item.name}.{member} {fault}"
    elif member not in item.values and not ("enum" in item.kinds and member == "values"):
        yield file.path, line_of(node), f"{item.name} has no {member}"


def _arguments(selector: Node) -> Node | None:
    parts = [child for child in selector.children if child.type == "argument_part"]
    return next(descendants(parts[0], "arguments"), None) if parts else None


def _construction(
    item: DartClass, constructor: str, arguments: Node, file: DartFile, *, is_const: bool = False
) -> Iterator[Problem]:
    name = f"{item.name}.{constructor}" if constructor else item.name
    if constructor not in item.constructors:
        if constructor or item.constructors:
            yield file.path, line_of(arguments), f"there is no constructor {name}"
            return
        fault = Signature().misfit(arguments)
    else:
        signature, node = item.constructors[constructor]
        fault = signature.misfit(arguments)
        if is_const and not any(child.type == "const_builtin" for child in node.children):
            fault = fault or "is no constant constructor"
        if item.kinds & {"abstract", "sealed"} and "factory" not in node.type:
            fault = fault or "is of an abstract class"
    if fault:
        yield file.path, line_of(arguments), f"{name} {fault}"


# --- classes ------------------------------------------------------------------------------


def _overrides(classes: dict[str, DartClass], item: DartClass) -> Iterator[Problem]:
    """Check that a class has what it promises, with parameters that fit."""
    if "noSuchMethod" in item.members:
        return
    for base in _ancestors(classes, item):
        for name, wanted in {**base.members, **base.abstract_members}.items():
            has = item.members.get(name)
            if wanted is not None and has is not None and (fault := _narrower(has, wanted)):
                yield item.file.path, line_of(item.node), f"{item.name}.{name} {fault} of {base.name}.{name}"
    if not item.is_concrete:
        return
    has_all = _inherited(classes, item)
    if has_all is None:
        return
    for base in _ancestors(classes, item):
        wanted_names = set(base.abstract_members)
        if base.name not in _line(classes, item):
            wanted_names |= {name for name in base.members if not name.startswith("_")}
        for name in sorted(wanted_names - has_all - _OF_OBJECT):
            yield item.file.path, line_of(item.node), f"{item.name} does not implement {base.name}.{name}"


def _narrower(has: Signature, wanted: Signature) -> str:
    if lost := sorted(wanted.named.keys() - has.named.keys()):
        return f"lacks the parameter {', '.join(lost)}"
    if extra := sorted(
        name for name, required in has.named.items() if required and not wanted.named.get(name, False)
    ):
        return f"demands {', '.join(extra)} beyond the parameters"
    if has.required > wanted.required or has.positional < wanted.positional:
        return "does not take the positional parameters"
    return ""


def _ancestors(
    classes: dict[str, DartClass], item: DartClass, seen: frozenset[str] = frozenset()
) -> list[DartClass]:
    found = [classes[name] for name in item.supers if name in classes and name not in seen]
    for base in list(found):
        found += _ancestors(classes, base, seen | {item.name})
    return found


def _line(classes: dict[str, DartClass], item: DartClass) -> set[str]:
    """Return the names of the classes and mixins whose code a class has."""
    implemented = {
        text_of(name) for node in item.node.children if node.type == "interfaces" for name in node.children
    }
    found = {name for name in item.supers if name not in implemented}
    for name in list(found):
        if name in classes:
            found |= _line(classes, classes[name])
    return found


def _inherited(classes: dict[str, DartClass], item: DartClass) -> set[str] | None:
    """Return every member with code; ``None`` if one of its classes is of another package."""
    names = set(item.members)
    for name in _line(classes, item):
        if name not in classes:
            return None
        names |= set(classes[name].members)
    return names


def _fields(item: DartClass) -> Iterator[Problem]:
    """Check that each constructor gives every field its value, and that constants do not change."""
    generative = {
        name: node for name, (_, node) in item.constructors.items() if "factory" not in node.type
    } or {"": item.node}
    if "mixin" in item.kinds or "extension" in item.kinds:
        return
    for name, node in generative.items():
        if node is not item.node and _redirects(node):
            continue
        given = set() if node is item.node else _given(node)
        for each in item.fields:
            needs = not each.has_value and not each.is_late and (each.is_final or not each.is_nullable)
            if needs and each.name not in given:
                place = f"{item.name}.{name}" if name else item.name
                yield item.file.path, each.line, f"{each.name} gets no value from the constructor {place}"
    if any(child.type == "const_builtin" for node in generative.values() for child in node.children):
        for each in item.fields:
            if not each.is_final or (each.is_late and each.has_value):
                yield (
                    item.file.path,
                    each.line,
                    f"{each.name} can change, but {item.name} has a constant constructor",
                )


def _redirects(node: Node) -> bool:
    return any(child.type == "redirection" for child in (node.parent or node).children)


def _given(node: Node) -> set[str]:
    declaration = node.parent or node
    given = {
        text_of(name)
        for part in descendants(node, "constructor_param")
        for name in descendants(part, "identifier")
    }
    return given | {
        text_of(next(descendants(entry, "identifier")))
        for entry in descendants(declaration, "field_initializer")
    }


def _waits(file: DartFile) -> Iterator[Problem]:
    for node in descendants(file.root, "await_expression", "yield_statement", "yield_each_statement"):
        body = node.parent
        while body is not None and body.type not in _BODIES:
            body = body.parent
        marks = {child.type for child in body.children} if body is not None else set()
        needed = {"async", "async*"} if node.type == "await_expression" else {"async*", "sync*"}
        if not marks & needed:
            word = "await" if node.type == "await_expression" else "yield"
            yield file.path, line_of(node), f"{word} in a function that is not {' or '.join(sorted(needed))}"
    for node in descendants(file.root, *_BODIES):
        if {child.type for child in node.children} & {"async*", "sync*"}:
            for found in descendants(node, "return_statement"):
                inner = found.parent
                while inner is not None and inner.type not in _BODIES:
                    inner = inner.parent
                if inner == node and len([child for child in found.children if child.is_named]) > 0:
                    yield file.path, line_of(found), "a generator returns no value"
