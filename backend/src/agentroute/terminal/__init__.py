"""The service from a terminal: ``agentroute chat``, ``threads`` and ``tail``. Clients like any other."""
