"""The two errors of tools. Neither reaches a client as a problem: the first is a result, the second stops a start."""

from __future__ import annotations


class ToolError(Exception):
    """Ends a call with a text for the model and the user.

    ``message`` says what was wrong and what to do. It is shown as it is: no
    exception text, SQL, hosts or keys.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message: str = message


class ToolDefinitionError(ValueError):
    """A tool cannot be built or loaded. Raised at start, with the name of the tool and the remedy."""
