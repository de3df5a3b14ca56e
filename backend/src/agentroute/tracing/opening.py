"""Records spans if the settings say so. Only then is OpenTelemetry imported."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from core.config import TraceSettings


def open_tracing(settings: TraceSettings, service: str) -> AbstractContextManager[None]:
    """Return a context in which spans are recorded and sent; one that does nothing if they are off.

    Args:
        settings: Of the process.
        service: Name of the process for OpenTelemetry, such as ``agentroute-worker``.
    """
    if not settings.enabled:
        return nullcontext()
    from agentroute.tracing.otlp import sending_spans

    return sending_spans(settings, service)
