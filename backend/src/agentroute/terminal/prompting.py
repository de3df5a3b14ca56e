"""What a user types: lines, several lines, single keys, secrets."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from agentroute.terminal.shown import USER


class Asker(Protocol):
    """Asks the user. ``KeyboardInterrupt`` is Ctrl-C, ``EOFError`` is Ctrl-D."""

    def line(self, prompt: str, *, default: str = "", is_secret: bool = False) -> str:
        """Return a line."""
        ...

    def message(self) -> str:
        """Return what the user says next: a line, or several."""
        ...

    def key(self, question: str, choices: Mapping[str, str]) -> str:
        """Return one of the keys. Choices: key, what it does."""
        ...

    def edited(self, text: str) -> str:
        """Return a text that the user has changed, in ``$VISUAL`` or ``$EDITOR`` if there is one, otherwise in a line."""
        ...


class TerminalAsker:
    """Asks in the terminal.

    Args:
        commands: Words that are completed with Tab.
    """

    def __init__(self, commands: Mapping[str, str]) -> None:
        self._session: PromptSession[str] = PromptSession(
            history=InMemoryHistory(),
            completer=WordCompleter(list(commands), meta_dict=dict(commands), sentence=True),
            complete_while_typing=False,
            multiline=True,
            key_bindings=_message_keys(),
            prompt_continuation="  ",
        )

    def line(self, prompt: str, *, default: str = "", is_secret: bool = False) -> str:
        """Return a line."""
        session: PromptSession[str] = PromptSession()
        return session.prompt(_styled(prompt), default=default, is_password=is_secret)

    def message(self) -> str:
        """Return what the user says next. Enter sends; Alt-Enter or a backslash before Enter begins a new line."""
        return self._session.prompt(_styled(USER))

    def key(self, question: str, choices: Mapping[str, str]) -> str:
        """Return one of the keys."""
        bindings = KeyBindings()
        for key in choices:

            def chosen(event: KeyPressEvent, key: str = key) -> None:
                event.app.exit(result=key)

            bindings.add(key, eager=True)(chosen)
            if key.isalpha():
                bindings.add(key.upper(), eager=True)(chosen)

        @bindings.add(Keys.Any)
        @bindings.add("enter")
        def _ignored(_event: KeyPressEvent) -> None: ...

        session: PromptSession[str] = PromptSession(key_bindings=bindings)
        told = " · ".join(f"[{key}] {what}" for key, what in choices.items())
        return session.prompt(_styled(f"{question}  {told} "))

    def edited(self, text: str) -> str:
        """Return a text that the user has changed."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
        if not editor:
            return self.line("arguments: ", default=text)
        with tempfile.TemporaryDirectory(prefix="agentroute-") as folder:
            path = Path(folder) / "arguments.json"
            path.write_text(text + "\n", encoding="utf-8")
            try:
                subprocess.run([*shlex.split(editor), str(path)], check=True)  # noqa: S603  the user's own editor
            except (OSError, ValueError, subprocess.CalledProcessError):
                return self.line(f"{editor} cannot be used; arguments: ", default=text)
            return path.read_text(encoding="utf-8")


def _message_keys() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.char_before_cursor == "\\" and buffer.document.is_cursor_at_the_end:
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


def _styled(prompt: str) -> FormattedText:
    return FormattedText([("bold", prompt)])
