"""Signatures of Standard Webhooks 1.0: a receiver checks who has sent a message, and when. Pure.

Source: https://github.com/standard-webhooks/standard-webhooks, "Signature scheme".
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping

from core.webhook_settings import decoded_secret


def signed_headers(message_id: str, at: int, body: bytes, secrets: Iterable[str]) -> Mapping[str, str]:
    """Return the headers of a message.

    Args:
        message_id: The same at every try.
        at: Unix seconds of this try. Receivers refuse what is five minutes old.
        body: As it is sent, byte for byte.
        secrets: Each makes a signature, so that a receiver may know only the old or only the new one.
    """
    signed = f"{message_id}.{at}.".encode() + body
    signatures = (hmac.digest(decoded_secret(secret), signed, "sha256") for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in signatures),
    }
