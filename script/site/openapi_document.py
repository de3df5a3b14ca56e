"""Writes the OpenAPI document of this version to standard output, for the API reference. No server is started."""

from __future__ import annotations

import json
import sys

from agentroute.app import create_app
from core.config import Settings

if __name__ == "__main__":
    json.dump(create_app(Settings()).openapi(), sys.stdout)
