"""The arguments of tool calls as JSON objects, as far as a model can be understood. Pure.

Some models write the object as a JSON string that holds JSON. It is decoded once, before anybody sees it. What is no
object even then goes on as it came: the tool's check tells the model.
"""

from __future__ import annotations

from dataclasses import replace

from core.agentscope.runtime.model.chat_order import Delta, ToolCall
from core.agentscope.runtime.model.legal_history import decoded_once


class ArgumentObjects:
    """Passes deltas on; arguments that begin as a JSON string wait until they are whole."""

    def __init__(self) -> None:
        self._held: list[Delta] = []
        self._begun: ToolCall | None = None

    def feed(self, delta: Delta) -> list[Delta]:
        """Take in a delta and return what may be shown now, in order."""
        call = delta.call
        if call is None or (self._held and self._held[0].call is not call):
            return [*self.finish(), delta] if call is None else [*self.finish(), *self.feed(delta)]
        if self._held:
            self._held.append(delta)
            return []
        if call is not self._begun and delta.text.strip():
            self._begun = call
            if delta.text.lstrip().startswith('"'):
                self._held.append(delta)
                return []
        return [delta]

    def finish(self) -> list[Delta]:
        """Return what waited: the call is whole."""
        held, self._held = self._held, []
        if not held:
            return []
        text = "".join(delta.text for delta in held)
        return [replace(held[0], text=decoded_once(text) or text)]
