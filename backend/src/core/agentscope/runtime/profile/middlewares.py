"""The middlewares of a profile: code of a user around the agent's replies, model calls and tools."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ProfileMiddleware(BaseModel):
    """One middleware of AgentScope around the agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: str = Field(alias="import", min_length=3)
    """``package.module:attribute``, written as ``import`` in the file. Imported by workers only."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """For the class or the function that makes it."""
