"""AG-UI's ``Interrupt``, for whoever shows one."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def interrupt_body(
    *,
    interrupt_id: str,
    reason: str,
    message: str,
    tool_call_id: str | None,
    response_schema: Any,
    expires_at: datetime,
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return AG-UI's ``Interrupt``: the same in the run's last event and in history."""
    about_call = {} if tool_call_id is None else {"toolCallId": tool_call_id}
    return {
        "id": interrupt_id,
        "reason": reason,
        "message": message,
        **about_call,
        "responseSchema": response_schema,
        "expiresAt": expires_at.isoformat().replace("+00:00", "Z"),
        **({} if metadata is None else {"metadata": metadata}),
    }
