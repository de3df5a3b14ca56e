"""What the words of providers mean: finish reasons, content filters, exhausted quotas, and errors inside an answer.

Pure. Each provider has words of its own, and the tables below know them. The words by which an endpoint names what it
refuses of a request are in ``refusals``; the shapes of answers are in ``chat_stream``.

Source: the API references of OpenAI, Azure, Anthropic, Gemini, Bedrock, Mistral, DeepSeek, DashScope, Zhipu and MiniMax;
the servers FastChat, vLLM, SGLang, Ollama and LiteLLM.
"""

from __future__ import annotations

import re
from typing import Any, Literal

Finish = Literal["complete", "filtered", "failed"]

_NOT_A_FINISH = frozenset({"", "null", "none", "undefined", "finish_reason_unspecified"})
_FILTERED = frozenset(
    {
        "content_filter",
        "content_filtered",
        "content-filter",
        "guardrail_intervened",
        "sensitive",
        "safety",
        "image_safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "refusal",
    }
)
_FAILED = frozenset(
    {
        "error",
        "failed",
        "server_error",
        "network_error",
        "timeout",
        "insufficient_system_resource",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "malformed_function_call",
        "malformed_model_output",
        "malformed_tool_use",
        "unexpected_tool_call",
    }
)
_FILTER_WORDS = re.compile(
    r"""content[\s_-]?(?:filter|polic(?:y|ies)|management|moderation|inspection) | responsible\s?ai
    | data_?inspection_?failed | moderation | flagged | safety\ (?:system|filter|reasons|settings|polic)
    | prohibited[\s_]content | usage\ polic | inappropriate\ content | guardrail
    | sensitive\ (?:content|words?|information)""",
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_QUOTA_WORDS = re.compile(
    r"""insufficient[\s_]?(?:quota|balance|funds|credits?) | exceeded\ your\ current\ quota | credit\ balance
    | billing_(?:hard_limit|not_active) | arrearage | out\ of\ credits""",
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_MEMBERS_OF_AN_ERROR = ("error", "errors", "error_code", "error_msg", "error_message", "detail")

REPEATED = frozenset({"id", "request_id", "input", "request", "url", "failed_generation"})
"""Members that name or repeat the request: its words are no reason."""
_NO_REASON = REPEATED | {"param"}


def finish_word(value: Any) -> str | None:
    """Return a finish reason as the provider wrote it; ``None`` for what stands for "not finished yet"."""
    return value if isinstance(value, str) and value.lower() not in _NOT_A_FINISH else None


def finish_meaning(word: str) -> Finish:
    """Return what a finish reason says about the answer. A word that nobody knows says that it is complete."""
    lower = word.lower()
    return "filtered" if lower in _FILTERED else "failed" if lower in _FAILED else "complete"


def names_content_filter(words: str) -> bool:
    """Whether an error's code, type or message says that a filter refused the content."""
    return _FILTER_WORDS.search(words) is not None


def names_exhausted_quota(words: str) -> bool:
    """Whether an error says that nothing is left to spend: waiting a little does not help."""
    return _QUOTA_WORDS.search(words) is not None


def error_in(document: dict[str, Any], *, labelled: bool) -> Any:
    """Return the error that a document of an answer reports; ``None`` when it is an ordinary one.

    Args:
        document: One document of the answer.
        labelled: The stream's framing called it an error (``event: error``).
    """
    if error := document.get("error"):
        # A code beside the error's text is the error's: ``{"error": "overloaded", "code": 503}``.
        return error if isinstance(error, dict) else {"message": error, "code": document.get("code")}
    if labelled or document.get("object") == "error":
        return document
    status = document.get("base_resp")
    if isinstance(status, dict) and status.get("status_code"):
        return {"message": status.get("status_msg"), "code": status["status_code"]}
    choices = document.get("choices")
    if choices:
        first = choices[0] if isinstance(choices, list) else choices
        return first.get("error") if isinstance(first, dict) else None
    if "usage" in document:
        return None
    if any(document.get(name) for name in _MEMBERS_OF_AN_ERROR) or _says_what_went_wrong(document):
        return {"message": error_text(document), "code": document.get("error_code") or document.get("code")}
    return None


def error_text(error: Any) -> str:
    """Return all that an error says, in one text: its message, code and type, and those of what it encloses."""
    found: list[str] = []
    _collect(error, found, depth=0)
    return " ".join(found)


def _says_what_went_wrong(document: dict[str, Any]) -> bool:
    said = document.get("message") or document.get("msg")
    return isinstance(said, str) and any(name in document for name in ("code", "status", "success", "type"))


def _collect(value: Any, found: list[str], *, depth: int) -> None:
    match value:
        case str() | int() if value is not True and value is not False and value != "":
            found.append(str(value))
        case dict() if depth < 4:
            # The message first: what is logged is cut at its end.
            for name in sorted(value, key=lambda name: name not in ("message", "msg", "detail")):
                if name not in _NO_REASON:
                    _collect(value[name], found, depth=depth + 1)
        case list() if depth < 4:
            for item in value:
                _collect(item, found, depth=depth + 1)
        case _:
            pass
