"""The section ``[knowledge]`` of a profile: the search function of a user, and when it is called."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.agentscope.schemas.tool_name import TOOL_NAME


class Knowledge(BaseModel):
    """What the agent may look up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    retrieve: str = Field(min_length=3)
    """``package.module:function``: finds passages for a query. Imported by workers only."""
    when: Literal["tool", "always", "code"] = "tool"
    """``tool``: when the model calls a tool. ``always``: for each new message of the user, before the model is asked.
    ``code``: when the code of the agent calls ``run.retrieve``."""
    max_passages: int = Field(default=8, ge=1, le=50)
    """Of one search."""
    max_bytes: int = Field(default=16 << 10, ge=1 << 10, le=256 << 10)
    """Of the text of one search, as the model reads it."""
    timeout_seconds: float = Field(default=10.0, gt=0, le=300)
    name: str = Field(default="search_knowledge", pattern=f"^{TOOL_NAME}$")
    """Of the tool."""
    description: str = Field(
        default="Search the knowledge base. Returns numbered passages. Use it whenever the answer may be in there.",
        min_length=1,
        max_length=1000,
    )
    """Of the tool, for the model: what the knowledge base is about."""

    @model_validator(mode="after")
    def _tool_is_offered(self) -> Knowledge:
        """Otherwise its name and its description would be without effect, and nothing would say so."""
        for member in ("name", "description"):
            if self.when != "tool" and member in self.model_fields_set:
                raise ValueError(f'{member} is that of the tool, and there is none with when = "{self.when}"')
        return self
