"""What the scripted demo model remembers: facts of the form "my name is Ada", read from the conversation.

Pure; nothing is kept between requests.
"""

from __future__ import annotations

import re

from agentroute.demo.request import Conversation

_TOLD = re.compile(
    r"\bmy\s+(?P<subject>[a-z][\w -]{0,30}?)\s+is\s+(?P<value>(?:(?!\s(?:and|but)\s)[^.,;!?\n]){1,80})",
    re.IGNORECASE,
)
_ASKED = re.compile(r"\bwhat(?:'s| is)\s+my\s+(?P<subject>[a-z][\w -]{0,30}?)\s*(?:[?.!\n]|$)", re.IGNORECASE)


def told_fact(text: str) -> tuple[str, str] | None:
    """Return the first fact a text states, as subject and value."""
    match = _TOLD.search(text)
    return (_subject(match["subject"]), match["value"].strip()) if match else None


def asked_fact(text: str) -> str | None:
    """Return the subject a text asks for: ``name`` for "what is my name?"."""
    match = _ASKED.search(text)
    return _subject(match["subject"]) if match else None


def known_facts(conversation: Conversation) -> dict[str, str]:
    """Return all facts ever stated, summaries included; the newest statement of a subject holds."""
    facts: dict[str, str] = {}
    for statement in conversation.statements:
        # Newest statement first, but within one statement the last word counts.
        for match in reversed(list(_TOLD.finditer(statement))):
            facts.setdefault(_subject(match["subject"]), match["value"].strip())
    return facts


def digest(conversation: Conversation) -> str:
    """Sum a conversation up: its facts in the form they were told in, then the last request."""
    facts = [f"my {subject} is {value}." for subject, value in known_facts(conversation).items()]
    request = " ".join(conversation.user_text.split())[:200]
    return " ".join(["The user said:", *facts, request]) if facts or request else "Nothing was said yet."


def _subject(text: str) -> str:
    return " ".join(text.lower().split())
