"""``agentroute rotate-secrets``: encrypts with the first key of ``AGENT_SECRETS__KEY`` what an older key has encrypted."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from core.config import SecretSettings
from core.connections.rotation import rotate
from core.connections.vault import Vault


async def rotate_secrets(engine: AsyncEngine, secrets: SecretSettings) -> tuple[str, bool]:
    """Encrypt everything anew; returns what was done, in a line or two, and whether everything could be read.

    Args:
        engine: Of the database with what is encrypted.
        secrets: The keys, the new one first.

    Raises:
        ConfigurationError: There is no key.
    """
    vault = Vault.of(secrets)
    done = await rotate(engine, vault)
    told = f"{done.written} of {done.values} values were encrypted anew, with the first key."
    if done.unreadable:
        lost = "cannot be read with these keys. If their key is lost, their users connect anew."
        return f"{told}\n{done.unreadable} {lost}", False
    if len(vault.heads) > 1:
        return f"{told} The other keys can be taken out of AGENT_SECRETS__KEY.", True
    return told, True
