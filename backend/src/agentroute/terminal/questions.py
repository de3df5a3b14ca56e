"""Asks the user what a run has ended with, and makes the answers of ``POST /resume``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from agentroute.client import AgentRouteClient, AgentRouteError, Interrupt, answer, approve, decline
from agentroute.terminal.harmless import harmless
from agentroute.terminal.prompting import Asker
from agentroute.terminal.shown import call_line
from agentroute.terminal.view import View

_APPROVAL = {"a": "approve", "d": "decline"}
_EDIT = {"e": "edit"}
_LOGIN_REASON = "connection_required"


class Questions:
    """Asks one question after the other.

    Args:
        client: Takes the tokens of users.
        view: Shows what a question is about.
        asker: Asks.
    """

    def __init__(self, client: AgentRouteClient, view: View, asker: Asker) -> None:
        self._client = client
        self._view = view
        self._asker = asker

    def ask(self, interrupts: Iterable[Interrupt]) -> list[Mapping[str, Any]]:
        """Return an answer to every question.

        Raises:
            KeyboardInterrupt: The user does not answer now. All questions stay open.
            EOFError: The same.
        """
        asked = list(interrupts)
        return [
            self._answer(each, f"({number}/{len(asked)}) " if len(asked) > 1 else "")
            for number, each in enumerate(asked, 1)
        ]

    def _answer(self, interrupt: Interrupt, place: str) -> Mapping[str, Any]:
        if interrupt.reason == _LOGIN_REASON:
            return self._connect(interrupt, place)
        properties = interrupt.response_schema.get("properties")
        if isinstance(properties, Mapping) and "approved" in properties:
            return self._decide(interrupt, place)
        return self._value(interrupt, place)

    def _decide(self, interrupt: Interrupt, place: str) -> Mapping[str, Any]:
        name, arguments = self._view.calls.get(interrupt.tool_call_id or "", ("", ""))
        question = place + interrupt.message
        # A single call stands right above.
        if name and place:
            question += f"  {call_line(name, arguments)}"
        self._view.note(question)
        match self._asker.key("?", _APPROVAL | (_EDIT if interrupt.is_editable else {})):
            case "a":
                self._view.note("Approved.")
                return approve(interrupt)
            case "e":
                edited = self._edited(arguments)
                self._view.note(f"Approved with {json.dumps(edited, ensure_ascii=False)}")
                return approve(interrupt, edited)
            case _:
                self._view.note("Declined.")
                return decline(interrupt)

    def _edited(self, arguments: str) -> Mapping[str, Any]:
        """Return other arguments; asks again until they are an object."""
        text = _pretty(arguments)
        while True:
            text = self._asker.edited(text)
            try:
                found: Any = json.loads(text)
            except ValueError as exc:
                self._view.note(f"This is not JSON: {exc}", is_error=True)
                continue
            if isinstance(found, dict):
                return found
            self._view.note("The arguments are an object: {…}", is_error=True)

    def _connect(self, interrupt: Interrupt, place: str) -> Mapping[str, Any]:
        self._view.note(place + interrupt.message)
        server = str(interrupt.metadata.get("server", ""))
        if url := interrupt.metadata.get("url"):
            self._view.note(f"Open this address in your browser: {url}")
            choice = self._asker.key("?", {"c": "connected, go on", "d": "decline"})
            return answer(interrupt) if choice == "c" else decline(interrupt)
        while token := self._asker.line(
            f"Token for {harmless(server)} (empty: decline): ", is_secret=True
        ).strip():
            try:
                self._client.connect_server(server, token)
            except AgentRouteError as exc:
                self._view.note(str(exc), is_error=True)
            else:
                return answer(interrupt)
        return decline(interrupt)

    def _value(self, interrupt: Interrupt, place: str) -> Mapping[str, Any]:
        self._view.note(place + interrupt.message)
        kind = interrupt.response_schema.get("type")
        if kind not in (None, "string"):
            self._view.note(
                "The answer is JSON: " + json.dumps(interrupt.response_schema, ensure_ascii=False)
            )
        while True:
            text = self._asker.line("answer (empty: decline): ").strip()
            if not text:
                return decline(interrupt)
            if kind == "string":
                return answer(interrupt, text)
            try:
                return answer(interrupt, json.loads(text))
            except ValueError as exc:
                if kind is None:
                    return answer(interrupt, text)
                self._view.note(f"This is not JSON: {exc}", is_error=True)


def _pretty(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), ensure_ascii=False)
    except ValueError:
        return arguments
