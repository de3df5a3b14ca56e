"""Which lane of messages goes where, as the settings of this process say."""

from __future__ import annotations

from functools import partial

import structlog

from core.config import Settings
from core.connections.vault import CannotOpen, Vault
from core.secret_values import encryption_keys
from core.webhooks.approval_token import ApprovalTokens, LinkedQuestion
from core.webhooks.message import run_message
from core.webhooks.outbox import Claimed
from core.webhooks.run_webhook import open_sealed
from core.webhooks.sender import Target, own_target

log = structlog.get_logger(__name__)

HOST_LANE = "host:"


def approval_tokens(settings: Settings) -> ApprovalTokens | None:
    """Return what makes and checks the tokens of links; ``None`` if there are no links.

    Links need a public address and a key: without one of them, messages have none.
    """
    keys = encryption_keys(settings.secrets.key)
    return ApprovalTokens(keys) if keys and settings.server.public_url else None


class WebhookTargets:
    """The lanes that this process serves.

    Args:
        settings: Of the process.
        vault: Opens the secrets of runs.
        approvals_path: Where the API takes links.
    """

    def __init__(self, settings: Settings, vault: Vault, approvals_path: str) -> None:
        self._vault = vault
        self._private = settings.webhooks.private_hosts
        self._approvals_url = settings.server.public_url.rstrip("/") + approvals_path
        self._tokens = approval_tokens(settings)
        self._endpoints = {endpoint.name: endpoint for endpoint in settings.webhooks.endpoints}
        self._hosts = {host.strip().lower() for host in settings.webhooks.run_hosts}

    @property
    def lanes(self) -> list[str]:
        """All lanes; a message of any other is left to other processes."""
        return [*self._endpoints, *(f"{HOST_LANE}{host}" for host in sorted(self._hosts))]

    def target(self, message: Claimed) -> Target | None:
        """Return where a message goes; ``None`` if nobody can know it any more."""
        if (endpoint := self._endpoints.get(message.lane)) is not None:
            return own_target(endpoint.url.get_secret_value(), endpoint.signing_secrets)
        row = message.run
        if row["sealed"] is None:
            return None
        try:
            owner = row["tenant_id"], row["user_id"]
            url, secret = open_sealed(self._vault, bytes(row["sealed"]), *owner, row["host"])
        except CannotOpen as exc:
            log.warning("run_webhook_not_readable", run_id=row["run_id"], why=str(exc))
            return None
        return Target(url, (secret,), self._private)

    def body(self, message: Claimed) -> bytes:
        """Return what a message says."""
        endpoint = self._endpoints.get(message.lane)
        links = None if self._tokens is None else partial(self._link, self._tokens)
        wanted = endpoint is None or endpoint.approval_links
        return run_message(message.run, message.questions, links if wanted else None)

    def _link(self, tokens: ApprovalTokens, question: LinkedQuestion, approves: bool) -> str:
        return f"{self._approvals_url}/{tokens.make(question, approves=approves)}"
