"""The page of the API reference, made of the OpenAPI document. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_OPENING = """# API reference

Made from the OpenAPI document of this version, so it is complete. A running service has the same at `/openapi.json`,
and a page to try it at `/docs`. [Routes by example](../routes.md) shows each route with `curl`.

Every error is a problem document with a stable `code`: [Problems](../problems.md) says what each means, and
[Troubleshooting](../troubleshooting.md) what to do.
"""
_TITLES = {
    "agent": "Runs, events and history",
    "agents": "Several agents",
    "threads": "Threads",
    "usage": "Usage",
    "files": "Files",
    "connections": "Connections to MCP servers",
    "operations": "Operations",
}
_EVENTS = "text/event-stream"


def page(document: Mapping[str, Any]) -> str:
    """Return the page in Markdown: the routes by their tag, then the bodies and answers that they name."""
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            groups.setdefault(tag, []).append("\n".join(_operation(method, path, operation)))
    parts = [_OPENING]
    for tag, operations in groups.items():
        parts.append(f"## {_TITLES.get(tag, tag.capitalize())}\n")
        parts.extend(operations)
    parts.append("## Bodies and answers\n")
    parts.extend("\n".join(_schema(*item)) for item in sorted(document["components"]["schemas"].items()))
    return "\n".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n"
    yield f"{operation.get('description') or operation['summary']}\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | type | meaning |\n| --- | --- | --- | --- |"
        for each in parameters:
            name = f"`{each['name']}`" + (", required" if each.get("required") else "")
            meaning = _cell(each.get("description", ""))
            yield f"| {name} | {each['in']} | {_type(each['schema'])} | {meaning} |"
        yield ""
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{media}`: {_type(content['schema'])}\n"
        yield from _examples(content, "The body")
    yield "| status | answer |\n| --- | --- |"
    responses = operation.get("responses", {})
    for status, answer in responses.items():
        yield f"| {status} | {_answer(answer)} |"
    yield ""
    for status, answer in responses.items():
        if status.startswith("2"):
            for content in answer.get("content", {}).values():
                yield from _examples(content, f"The answer {status}")


def _answer(answer: Mapping[str, Any]) -> str:
    types = [
        _type(content["schema"])
        for media, content in answer.get("content", {}).items()
        if media not in ("application/problem+json", _EVENTS) and content.get("schema")
    ]
    events = ["frames of [`AgUiEvent`](#aguievent)"] if _EVENTS in answer.get("content", {}) else []
    return _cell(": ".join([answer["description"].removesuffix("."), *types, *events]))


def _examples(content: Mapping[str, Any], title: str) -> Iterator[str]:
    """Yield the first example, folded."""
    named = content.get("examples", {})
    example = content.get("example", next(iter(named.values()), {}).get("value") if named else None)
    if example is None:
        return
    text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    yield f'??? example "{title}"\n'
    yield f"    ```{'text' if isinstance(example, str) else 'json'}"
    yield from (f"    {line}" for line in text.rstrip().splitlines())
    yield "    ```\n"


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{name}`\n"
    if description := schema.get("description"):
        yield f"{description}\n"
    properties: Mapping[str, Any] = schema.get("properties", {})
    if not properties:
        yield f"{_type(schema)}\n"
        return
    required = set(schema.get("required", ()))
    yield "| member | type | meaning |\n| --- | --- | --- |"
    for member, inner in properties.items():
        mark = ", required" if member in required else ""
        yield f"| `{member}`{mark} | {_type(inner)} | {_cell(inner.get('description', ''))} |"
    yield ""


def _type(schema: Any) -> str:
    """Return the type in words, with links to the schemas that it names."""
    if not isinstance(schema, Mapping) or not schema:
        return "any JSON"
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[several]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return _cell(words + _bounds(schema))


def _bounds(schema: Mapping[str, Any]) -> str:
    words: Iterable[tuple[str, str]] = (
        ("format", "{}"),
        ("minimum", "at least {}"),
        ("maximum", "at most {}"),
        ("maxLength", "at most {} characters"),
        ("pattern", "`{}`"),
        ("default", "default `{}`"),
    )
    said = [text.format(schema[key]) for key, text in words if schema.get(key) is not None]
    return f" ({', '.join(said)})" if said else ""


def _cell(text: str) -> str:
    """Return a text that fits into one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
