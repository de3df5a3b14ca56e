"""Adapts one model call to its endpoint: a refusal that names what it refuses is a lesson, and the call is tried again.

What a caller can rely on:

1. A try for a lesson is no retry: it waits for nothing, is announced to nobody and counts against no limit. The refused
   request cost nothing.
2. A lesson is remembered only when the endpoint answered a request that was made by it. A lesson after which the same
   refusal came again did not help, and is forgotten. A call takes in ``MAX_LESSONS`` at most.
3. A refusal that no rule reads, of a conversation that holds tool calls, gets one last try: the same conversation as
   plain text. So no model is stuck by what another one, or an older version, has left in a thread. An attachment that
   cannot be used is left out in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from core.agentscope.runtime.model.chat_endpoint import ChatEndpoint
from core.agentscope.runtime.model.chat_errors import CallFailed
from core.agentscope.runtime.model.chat_meter import estimate_input_tokens
from core.agentscope.runtime.model.legal_history import legal
from core.agentscope.runtime.model.quirks import Quirk, QuirkBook
from core.agentscope.runtime.model.refusals import (
    Refusal,
    is_about_one_attachment,
    is_too_long,
    lesson,
    may_be_the_conversation,
    named_limit,
)
from core.agentscope.runtime.model.request_form import adapted, holds_calls, holds_media
from core.errors import ContextTooLong

MAX_LESSONS = 10
_TOO_LONG = (
    "The conversation is too long for the model and could not be shortened. "
    "Send a shorter message, or start a new conversation."
)


@dataclass(frozen=True, slots=True)
class Reduced:
    """How many messages, from the first, an endpoint takes only in part."""

    plain: int = 0
    """Without tool calls: these are sent as text."""
    blind: int = 0
    """Without attachments."""
    length: int = 0
    """Messages of the conversation that this was learnt of, or was true of last."""

    def of(self, length: int) -> Reduced:
        """Return what is known of a conversation of so many messages.

        Nothing when it became shorter: it was summarised, so the messages that were counted are others now.
        """
        return replace(self, length=length) if length >= self.length else Reduced(length=length)


_WHOLE = Reduced()


class Adapting:
    """The lessons of one model call."""

    def __init__(
        self, book: QuirkBook, endpoint: ChatEndpoint, body: dict[str, Any], reduced: Reduced = _WHOLE
    ) -> None:
        """Begin with what is known.

        Args:
            book: What the process has learnt.
            endpoint: Whom the call is for.
            body: The request as any endpoint would be asked.
            reduced: The messages that the endpoint is known to refuse as they are.
        """
        self.reduced = reduced.of(len(legal(body["messages"])))
        self.context_tokens: int | None = None
        """How much the endpoint takes, by our estimate, when it said that the conversation is too long."""
        self._book = book
        self._endpoint = endpoint
        self._body = body
        self._learnt: dict[Quirk, str] = {}
        self._useless: set[Quirk] = set()
        self._newest: Quirk | None = None
        self._heard: Refusal | None = None

    @property
    def quirks(self) -> frozenset[Quirk]:
        """The quirks the next request is made for."""
        return self._endpoint.quirks(self._book) | self._learnt.keys()

    def body(self) -> dict[str, Any]:
        """Return the request as it is to be sent now."""
        return adapted(self._body, self.quirks, plain=self.reduced.plain, blind=self.reduced.blind)

    def learn(self, failed: CallFailed, *, last: bool) -> bool:
        """Take in a failure; returns whether the request is to be sent again at once, in another form.

        Args:
            failed: Why the last request failed; its error may become a better one.
            last: No further retry follows.
        """
        refusal = failed.refusal
        if refusal is None or failed.answered:
            return False
        if is_about_one_attachment(refusal) and holds_media(self._from(self.reduced.blind)):
            self.reduced = replace(self.reduced, blind=self.reduced.length)
            return True
        again = refusal == self._heard
        if again and self._newest is not None:
            self._learnt.pop(self._newest, None)
            self._useless.add(self._newest)
        self._heard, quirk = refusal, None
        if len(self._learnt) + len(self._useless) < MAX_LESSONS:
            known = self.quirks | self._endpoint.chosen.never | self._useless
            quirk = lesson(refusal, self.body(), known)
        if is_too_long(refusal) and quirk is not Quirk.NO_MAX_TOKENS:
            self._note_length(failed)
            return False
        if quirk is not None:
            if failed.transient and not last and not again:
                # A fault of the server that may be gone with the next try: it is a lesson when it comes twice.
                self._newest = None
                return False
            self._learnt[quirk] = failed.reason
            self._newest = quirk
            return True
        self._newest = None
        if not holds_calls(self._from(self.reduced.plain)) or not may_be_the_conversation(refusal):
            return False
        if failed.transient and not last:
            return False
        self.reduced = replace(self.reduced, plain=self.reduced.length)
        return True

    def keep(self) -> None:
        """Remember the lessons: the endpoint answered."""
        for quirk, reason in self._learnt.items():
            self._book.learn(self._endpoint.place, quirk, reason=self._endpoint.safe(reason))

    def _from(self, place: int) -> list[dict[str, Any]]:
        return legal(self._body["messages"])[place:]

    def _note_length(self, failed: CallFailed) -> None:
        if failed.refusal is None:
            return
        estimated = estimate_input_tokens(self.body())
        limit, counted = named_limit(failed.refusal)
        if limit is not None:
            # In our own estimate, because that is what a conversation is compared with.
            scaled = limit if not counted else round(limit * min(1.0, estimated / counted))
            self._book.limit_context(self._endpoint.place, max(scaled, 1024))
            estimated = min(estimated, scaled)
        self.context_tokens = estimated
        failed.error = ContextTooLong(_TOO_LONG)
        failed.transient = False
