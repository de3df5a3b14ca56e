"""Puts together the deliveries of a worker."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.runtime.work.chores import Turns
from core.agentscope.schemas.links import APPROVALS_PATH
from core.config import Settings
from core.connections.vault import Vault
from core.webhooks.deliverer import WebhookDeliverer
from core.webhooks.endpoints import sync_endpoints
from core.webhooks.outbox import Outbox
from core.webhooks.sender import WebhookSender
from core.webhooks.targets import WebhookTargets


async def open_webhooks(settings: Settings, engine: AsyncEngine, turns: Turns) -> WebhookDeliverer:
    """Tell the database the endpoints of the settings, and return what delivers to them. Nothing is sent yet."""
    webhooks = settings.webhooks
    await sync_endpoints(engine, webhooks.endpoints)
    return WebhookDeliverer(
        Outbox(engine),
        WebhookTargets(settings, Vault.of(settings.secrets), APPROVALS_PATH),
        WebhookSender(webhooks.timeout_seconds),
        turns,
        retention_days=webhooks.retention_days,
    )
