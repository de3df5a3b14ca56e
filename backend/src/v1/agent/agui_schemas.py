"""Schemas of AG-UI for the API description: what ``/history`` and the event streams carry.

They are made of the official models, so that the description cannot say something else than the protocol. Their names
begin with ``AgUi``, because the bodies of requests have models of the same names.
"""

from __future__ import annotations

from typing import Any

EVENT = "#/components/schemas/AgUiEvent"
_MESSAGE = "#/components/schemas/AgUiMessage"
_INTERRUPT = "#/components/schemas/AgUiInterrupt"
_TEMPLATE = "#/components/schemas/AgUi{model}"


def add_agui_schemas(schemas: dict[str, Any]) -> None:
    """Define the events, messages and interrupts of AG-UI, and use them in the answers that have them.

    Args:
        schemas: The schemas of an OpenAPI document, by name; changed.
    """
    # Here: the import costs a process that shows no description nothing.
    from ag_ui.core import Event, Interrupt, Message
    from pydantic import TypeAdapter

    kinds: dict[str, Any] = {"Event": Event, "Message": Message, "Interrupt": Interrupt}
    for name, kind in kinds.items():
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        schema = adapter.json_schema(by_alias=True, ref_template=_TEMPLATE)
        for part, definition in schema.pop("$defs", {}).items():
            schemas.setdefault(f"AgUi{part}", definition)
        schemas.setdefault(f"AgUi{name}", schema)
    history = schemas.get("HistorySnapshotResponse", {}).get("properties", {})
    for member, reference in (("messages", _MESSAGE), ("pendingInterrupts", _INTERRUPT)):
        if member in history:
            history[member]["items"] = {"$ref": reference}
