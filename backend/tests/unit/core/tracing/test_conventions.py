"""The table of names is that of the installed conventions."""

from __future__ import annotations

from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    gen_ai_attributes,
    session_attributes,
    user_attributes,
)
from opentelemetry.semconv.schemas import Schemas

from core.tracing import conventions

_OURS = "agentroute."


def test_the_version_is_the_installed_one() -> None:
    assert conventions.SCHEMA_URL in {schema.value for schema in Schemas}


def test_every_name_is_in_the_conventions_or_says_that_it_is_ours() -> None:
    known = {
        value
        for module in (gen_ai_attributes, session_attributes, user_attributes, error_attributes)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    named = {
        value
        for name, value in vars(conventions).items()
        if name.isupper() and isinstance(value, str) and "." in value and not value.startswith("http")
    }
    assert named
    assert {value for value in named if not value.startswith(_OURS)} <= known


def test_the_operations_are_in_the_conventions() -> None:
    operations = {each.value for each in gen_ai_attributes.GenAiOperationNameValues}
    assert {conventions.INVOKE_AGENT, conventions.CHAT, conventions.EXECUTE_TOOL} <= operations
