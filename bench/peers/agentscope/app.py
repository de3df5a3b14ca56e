"""AgentScope's own service with its storage and its message bus in Redis."""

import os
import tempfile
from urllib.parse import urlsplit

from agentscope.app import create_app
from agentscope.app.message_bus import RedisMessageBus
from agentscope.app.storage import RedisStorage
from agentscope.app.workspace_manager import LocalWorkspaceManager

redis = urlsplit(os.environ["REDIS_URL"])
address = {"host": redis.hostname, "port": redis.port, "password": redis.password}
app = create_app(
    storage=RedisStorage(**address),
    message_bus=RedisMessageBus(**address),
    workspace_manager=LocalWorkspaceManager(tempfile.mkdtemp(prefix="bench-agentscope-")),
)
