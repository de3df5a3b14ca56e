"""Attachments of a new user message: an attachment that the model cannot be given is refused when it is sent.

Later would be too late: the message would be in the thread, and every run of the thread would meet it again.
"""

from __future__ import annotations

from core.agentscope.schemas.attachments import MAX_TEXT_BYTES, Carried, carried, decoded
from core.agentscope.schemas.files import PROVIDER
from core.agentscope.schemas.messages import (
    ContentPart,
    DataSource,
    FileSource,
    MediaPart,
    UrlSource,
    UserMessage,
)
from core.errors import AgentBackendError, AttachmentUnsupported, InvalidRequest, LimitExceeded, UrlNotAllowed
from core.media_types import essence

_CARRIED = "a model can be given images, audio as wav or mp3, PDF and texts"
_SPEECH = "; for speech in other formats, send POST /transcribe and then its text"


def check_attachments(message: UserMessage, pointer: str) -> None:
    """Refuse a new message whose content is empty, or has an attachment that no model can be given.

    Args:
        message: From the request.
        pointer: JSON pointer of its content.

    Raises:
        InvalidRequest: The message is empty, or names a file of another provider.
        UrlNotAllowed: An attachment is a URL.
        AttachmentUnsupported: An attachment has a type for which models have no form, is empty, or is not base64.
        LimitExceeded: A text document is too long.
    """
    if isinstance(message.content, str):
        return
    if not message.content:
        errors = [{"pointer": pointer, "message": "send at least one part"}]
        raise InvalidRequest("A user message is empty.", errors=errors)
    for place, part in enumerate(message.content):
        if isinstance(part, MediaPart) and (refusal := _refusal(part, f"{pointer}/{place}")) is not None:
            raise refusal


def without_mirrors(message: UserMessage) -> UserMessage:
    """Return the message with each attachment once: CopilotKit sends one in the form of AG-UI 1.0 and in the old form."""
    if isinstance(message.content, str):
        return message
    kept: list[ContentPart] = []
    seen: set[tuple[str, str, str]] = set()
    for part in message.content:
        if isinstance(part, MediaPart):
            key = (part.source.type, essence(part.source.mime_type or ""), part.source.value)
            if key in seen:
                continue
            seen.add(key)
        kept.append(part)
    return message if len(kept) == len(message.content) else message.model_copy(update={"content": kept})


def refuse_type(media_type: str, pointer: str) -> AttachmentUnsupported:
    """Return the refusal of an attachment for whose type models have no form."""
    kind = essence(media_type)[:64] or "unknown"
    speech = _SPEECH if kind.startswith(("audio/", "video/")) else ""
    return AttachmentUnsupported(
        f"An attachment of type {kind} cannot be given to a model: {_CARRIED}{speech}.",
        errors=[{"pointer": pointer, "message": f"not supported; {_CARRIED}"}],
    )


def _refusal(part: MediaPart, pointer: str) -> AgentBackendError | None:
    source = part.source
    inline = [{"pointer": f"{pointer}/source", "message": "use a 'data' source"}]
    match source:
        case FileSource(provider=None | "" | "agentroute"):
            # Whether there is such a file, the transaction finds out (``message_files``).
            return None
        case FileSource():
            return InvalidRequest(
                "A message names a file of another provider. Upload it here, or send it inline.",
                errors=[
                    {"pointer": f"{pointer}/source/provider", "message": f"must be '{PROVIDER}' or absent"}
                ],
            )
        case UrlSource():
            return UrlNotAllowed(
                "The service does not fetch media by URL. Send the media inline, as a source of type 'data'.",
                errors=inline,
            )
        case DataSource():
            return _data_refusal(source, f"{pointer}/source")


def _data_refusal(source: DataSource, pointer: str) -> AgentBackendError | None:
    form: Carried | None = carried(source.mime_type)
    if form is None:
        return refuse_type(source.mime_type, f"{pointer}/mimeType")
    content = decoded(source.value)
    if not content:
        message = "is not base64" if content is None else "is empty"
        errors = [{"pointer": f"{pointer}/value", "message": message}]
        return AttachmentUnsupported(f"The data of an attachment {message}.", errors=errors)
    if form.form == "text" and len(content) > MAX_TEXT_BYTES:
        message = f"{len(content)} bytes of text; at most {MAX_TEXT_BYTES} are allowed"
        errors = [{"pointer": f"{pointer}/value", "message": message}]
        return LimitExceeded(f"An attachment has {message}.", errors=errors)
    return None
