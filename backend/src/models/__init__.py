"""All tables. Importing this package fills ``models.base.Base.metadata`` for Alembic."""

from models.agent_api_key import AgentApiKey
from models.agent_chat_message import AgentChatMessage
from models.agent_chat_session import AgentChatSession
from models.agent_checkpoint import AgentCheckpoint
from models.agent_chore import AgentChore
from models.agent_connection import AgentConnection
from models.agent_epoch import AgentEpoch
from models.agent_erasure import AgentErasure
from models.agent_file import AgentFile
from models.agent_file_gone import AgentFileGone
from models.agent_file_use import AgentFileUse
from models.agent_interrupt import AgentInterrupt
from models.agent_log_part import AgentLogPart
from models.agent_memory import AgentMemory
from models.agent_model_call import AgentModelCall
from models.agent_oauth_client import AgentOAuthClient
from models.agent_oauth_login import AgentOAuthLogin
from models.agent_run import AgentRun
from models.agent_run_event import AgentRunEvent
from models.agent_run_webhook import AgentRunWebhook
from models.agent_schedule import AgentSchedule
from models.agent_schedule_fire import AgentScheduleFire
from models.agent_state import AgentState
from models.agent_state_part import AgentStatePart
from models.agent_stored_change import AgentStoredChange
from models.agent_stored_tenant import AgentStoredTenant
from models.agent_stored_user import AgentStoredUser
from models.agent_transcription import AgentTranscription
from models.agent_webhook_endpoint import AgentWebhookEndpoint
from models.agent_webhook_message import AgentWebhookMessage
from models.user_budget import UserBudget
from models.user_budget_reservation import UserBudgetReservation

__all__ = [
    "AgentApiKey",
    "AgentChatMessage",
    "AgentChatSession",
    "AgentCheckpoint",
    "AgentChore",
    "AgentConnection",
    "AgentEpoch",
    "AgentErasure",
    "AgentFile",
    "AgentFileGone",
    "AgentFileUse",
    "AgentInterrupt",
    "AgentLogPart",
    "AgentMemory",
    "AgentModelCall",
    "AgentOAuthClient",
    "AgentOAuthLogin",
    "AgentRun",
    "AgentRunEvent",
    "AgentRunWebhook",
    "AgentSchedule",
    "AgentScheduleFire",
    "AgentState",
    "AgentStatePart",
    "AgentStoredChange",
    "AgentStoredTenant",
    "AgentStoredUser",
    "AgentTranscription",
    "AgentWebhookEndpoint",
    "AgentWebhookMessage",
    "UserBudget",
    "UserBudgetReservation",
]
