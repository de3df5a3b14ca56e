"""What the app of soliplex makes of an event stream: the text that it shows.

It decodes with the Dart SDK (``dart_decode.py``) and skips what the SDK refuses, which ends the stream of other apps. It
has room for one message that is being written: a second one that begins takes its place, and what comes for another
one is dropped. It ends at the first terminal event.

Source: ``soliplex_client`` of soliplex/frontend, ``http/agui_stream_client.dart`` and
``application/agui_event_processor.dart``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.support.dart_decode import DartDecodingError, decode

Json = dict[str, Any]


@dataclass
class Soliplex:
    """The app in one run."""

    texts: dict[str, str] = field(default_factory=dict)
    """The messages that are complete, by their ids."""
    skipped: list[str] = field(default_factory=list)
    """Types of events that the SDK refused."""
    has_ended: bool = False

    def take(self, events: Iterable[Json]) -> None:
        """Take in the events of one stream, up to its terminal event."""
        writing: tuple[str, str] | None = None
        for event in events:
            try:
                decode(json.dumps(event))
            except DartDecodingError:
                self.skipped.append(event["type"])
                continue
            match event["type"], writing:
                case "TEXT_MESSAGE_START", _:
                    writing = (event["messageId"], "")
                case "TEXT_MESSAGE_CONTENT", (message_id, text) if message_id == event["messageId"]:
                    writing = (message_id, text + event["delta"])
                case "TEXT_MESSAGE_END", (message_id, text) if message_id == event["messageId"]:
                    self.texts.setdefault(message_id, text)
                    writing = None
                case "RUN_FINISHED" | "RUN_ERROR", _:
                    self.has_ended = True
                    return
                case _:
                    pass
