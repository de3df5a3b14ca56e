"""An agent as AgentScope's own examples are written; see ``test_stock_agent.py``."""
