"""AG-UI messages as clients send them and as history returns them.

Unknown members are ignored, malformed known ones are refused (AG-UI 1.0, ``RunAgentInput``). A message that the service
ignores in any case is not refused for its form: a client may bring a conversation with another backend, whose ids and
members are its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from core.agentscope.schemas.attachments import as_inline, as_part
from core.agentscope.schemas.message_ids import ID_PATTERN

_OtherRole = Literal["system", "developer", "reasoning", "activity"]
_IgnoredRole = Literal["assistant", "tool", _OtherRole]

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
"""An opaque identifier on the wire."""


class WireModel(BaseModel):
    """Base of everything that crosses HTTP: camelCase outside, snake_case inside."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        ser_json_inf_nan="null",
        serialize_by_alias=True,
    )

    def wire(self) -> dict[str, Any]:
        """Return the JSON form: camelCase, absent rather than null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class DataSource(WireModel):
    type: Literal["data"]
    value: str
    mime_type: str


class UrlSource(WireModel):
    type: Literal["url"]
    value: str
    mime_type: str | None = None


class FileSource(WireModel):
    type: Literal["file"]
    value: str
    provider: str | None = None
    mime_type: str | None = None


ContentSource = Annotated[
    Annotated[DataSource | UrlSource | FileSource, Field(discriminator="type")], BeforeValidator(as_inline)
]


class _Part(WireModel):
    id: str | None = None
    metadata: Any = None
    """Any JSON value here, unlike elsewhere."""


class TextPart(_Part):
    type: Literal["text"]
    text: str


class MediaPart(_Part):
    type: Literal["image", "audio", "video", "document"]
    source: ContentSource


ContentPart = Annotated[
    Annotated[TextPart | MediaPart, Field(discriminator="type")], BeforeValidator(as_part)
]


class FunctionCall(WireModel):
    name: str
    arguments: str


class ToolCall(WireModel):
    id: Id
    type: Literal["function"] = "function"
    function: FunctionCall
    encrypted_value: str | None = None
    metadata: dict[str, Any] | None = None


class _Message(WireModel):
    id: Id
    name: str | None = None
    encrypted_value: str | None = None
    metadata: dict[str, Any] | None = None
    _has_made_id: bool = PrivateAttr(default=False)

    @property
    def has_made_id(self) -> bool:
        """Whether the client sent no id, so that the service made one (``message_ids``)."""
        return self._has_made_id

    def note_made_id(self) -> None:
        """Note that the service made the id."""
        self._has_made_id = True


class UserMessage(_Message):
    role: Literal["user"]
    content: str | list[ContentPart]

    def text(self) -> str:
        """Return the text parts, joined by line breaks."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class AssistantMessage(_Message):
    role: Literal["assistant"]
    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(_Message):
    role: Literal["tool"]
    tool_call_id: Id
    content: str | list[ContentPart]
    error: str | None = None


class OtherMessage(_Message):
    """Roles that a client may echo and the server ignores."""

    role: _OtherRole
    content: Any = None


class ForeignMessage(WireModel):
    """A message that is not in AG-UI's form, of a role whose messages the service ignores.

    A tool message counts if it answers an open client tool call. Then, and only then, it is refused for its form.
    """

    id: str
    role: _IgnoredRole
    tool_call_id: str | None = None
    call_ids: tuple[str, ...] = Field(default=(), exclude=True)
    """The calls that an assistant message makes: their results are not of this thread either."""
    _refusal: tuple[ValidationError, Any] = PrivateAttr()

    @property
    def refusal(self) -> tuple[ValidationError, Any]:
        """What is wrong with the message, and the message as the client sent it."""
        return self._refusal

    def note_refusal(self, error: ValidationError, sent: Any) -> None:
        """Note what is wrong with the message."""
        self._refusal = error, sent


MessageInForm = Annotated[
    UserMessage | AssistantMessage | ToolMessage | OtherMessage, Field(discriminator="role")
]
_in_form: TypeAdapter[UserMessage | AssistantMessage | ToolMessage | OtherMessage] = TypeAdapter(
    MessageInForm
)
_IGNORED_ROLES = frozenset(get_args(_IgnoredRole))


def _with_plain_text(value: Any) -> Any:
    """Return an assistant message whose content is a list of texts with one text, as AG-UI has it."""
    if not isinstance(value, dict) or value.get("role") != "assistant":
        return value
    parts = value.get("content")
    if not isinstance(parts, list) or not all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in parts
    ):
        return value
    return {**value, "content": "\n".join(part["text"] for part in parts)}


def _call_ids(calls: Any) -> Iterator[str]:
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call.get("id"), str):
            yield call["id"]


def _read_message(value: Any) -> Any:
    if isinstance(value, _Message | ForeignMessage):
        return value
    try:
        return _in_form.validate_python(_with_plain_text(value))
    except ValidationError as exc:
        if not isinstance(value, dict) or str(value.get("role")) not in _IGNORED_ROLES:
            raise
        error = exc
    call_id = value.get("toolCallId")
    message = ForeignMessage(
        id=str(value.get("id")),
        role=value["role"],
        tool_call_id=call_id if isinstance(call_id, str) else None,
        call_ids=tuple(_call_ids(value.get("toolCalls"))),
    )
    message.note_refusal(error, value)
    return message


Message = Annotated[
    UserMessage | AssistantMessage | ToolMessage | OtherMessage | ForeignMessage,
    BeforeValidator(_read_message, json_schema_input_type=MessageInForm),
]
