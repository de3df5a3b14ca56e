"""The JSON Schema of a tool's arguments, as small as a model needs it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import BaseModel

_SCHEMA_MAPS = ("properties", "$defs", "patternProperties", "dependentSchemas")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "not", "contains", "propertyNames")


# A process has one model for each tool. The bound is for tests, which make many.
@lru_cache(maxsize=1024)
def arguments_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's schema without the titles pydantic derives from names.

    They repeat the names, and every model call pays for them. A property that
    is itself called ``title`` stays. The schema is built once and shared: do not change it.
    """
    return without_titles(model.model_json_schema())


def without_titles(schema: Any) -> Any:
    """Return a schema without its titles, also inside of it."""
    if not isinstance(schema, dict):
        return schema  # `true` and `false` are schemas
    result = {key: value for key, value in schema.items() if key != "title"}
    for key in _SCHEMA_MAPS:
        if key in result:
            result[key] = {name: without_titles(value) for name, value in result[key].items()}
    for key in _SCHEMA_LISTS:
        if key in result:
            result[key] = [without_titles(value) for value in result[key]]
    for key in _SCHEMAS:
        if key in result:
            result[key] = without_titles(result[key])
    return result
