"""Loads the prompts of the stages: the Markdown files beside this one, or the user's own.

A prompt is plain text with ``$name`` placeholders (``$$`` is a dollar sign), so
that braces in examples and JSON need no escaping. Files are checked when they are loaded: a wrong placeholder stops the
start of the process, not a run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template
from types import MappingProxyType

PROMPT_VALUES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "intent": frozenset({"agent_name", "current_date"}),
        "execution": frozenset({"agent_name", "current_date", "context", "plan"}),
        "report": frozenset({"agent_name", "current_date", "context", "plan"}),
    }
)
"""The placeholders each stage has values for. A prompt need not use them all."""

_MAX_BYTES = 256 << 10
_BLANK_LINES = re.compile(r"\n{3,}")


class PromptInvalid(ValueError):
    """A prompt is not valid. The message names the prompt, the problem and the allowed values."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's text. Immutable: share it between runs."""

    name: str
    text: str

    @property
    def placeholders(self) -> frozenset[str]:
        """The names the text uses."""
        return _placeholders(self.text)

    def render(self, **values: str) -> str:
        """Fill in the placeholders; values the text does not use are ignored.

        Values are taken as they are: a ``$`` in one is not a placeholder. Where
        an empty value leaves several blank lines, one stays.

        Raises:
            PromptInvalid: A placeholder has no value.
        """
        missing = sorted(self.placeholders - values.keys())
        if missing:
            raise PromptInvalid(f"prompt {self.name}: no value for {_listed(missing)}")
        return _BLANK_LINES.sub("\n\n", Template(self.text).substitute(values)).strip()


# Each run renders the same few prompts.
@lru_cache(maxsize=64)
def _placeholders(text: str) -> frozenset[str]:
    return frozenset(Template(text).get_identifiers())


def load_prompt(name_or_path: str | Path, *, values: Collection[str] | None = None) -> Prompt:
    """Load a bundled prompt by its name, or a file by its path.

    Args:
        name_or_path: ``intent``, ``execution``, ``report``, or a file.
        values: The placeholders the text may use; for a bundled prompt those of its stage, for a file any.

    Raises:
        PromptInvalid: There is no such prompt, or it is empty, not UTF-8, too large, or uses other placeholders.
    """
    path = name_or_path if isinstance(name_or_path, Path) else _bundled(name_or_path)
    name = str(name_or_path)
    prompt = Prompt(name, _read(path, name))
    if not Template(prompt.text).is_valid():
        raise PromptInvalid(f"prompt {name}: a $ stands without a name; write $$ for a dollar sign")
    allowed = PROMPT_VALUES.get(name) if values is None else frozenset(values)
    unknown = [] if allowed is None else sorted(prompt.placeholders - allowed)
    if allowed is not None and unknown:
        raise PromptInvalid(
            f"prompt {name}: unknown placeholder {_listed(unknown)}; allowed: {_listed(sorted(allowed))}"
        )
    return prompt


def _bundled(name: str) -> Path:
    if name not in PROMPT_VALUES:
        raise PromptInvalid(f"prompt {name}: unknown name; allowed: {', '.join(PROMPT_VALUES)}, or a path")
    return Path(__file__).with_name(f"{name}.md")


def _read(path: Path, name: str) -> str:
    try:
        data = path.read_bytes()
        text = data.decode()
    except OSError as exc:
        raise PromptInvalid(f"prompt {name}: cannot be read ({exc.strerror})") from exc
    except UnicodeDecodeError as exc:
        raise PromptInvalid(f"prompt {name}: is not UTF-8 text") from exc
    if not text.strip():
        raise PromptInvalid(f"prompt {name}: is empty")
    if len(data) > _MAX_BYTES:
        raise PromptInvalid(f"prompt {name}: is larger than {_MAX_BYTES >> 10} KiB")
    return text


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"${name}" for name in names)
