"""The two errors of tools. Neither becomes a problem document: one is a tool result, the other stops the start."""

from __future__ import annotations


class ToolError(Exception):
    """Ends a call with a text for the model and the user.

    ``message`` says what was wrong and what to do. The message is shown unchanged, so it must not contain exception
    text, SQL, hosts or keys.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message: str = message


class ToolDefinitionError(ValueError):
    """A tool cannot be built or loaded. Raised at start, with the name of the tool and the remedy."""
