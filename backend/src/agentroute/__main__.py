"""``python -m agentroute``: the command line, for an environment whose ``bin`` folder is not on the path."""

from agentroute.cli import app

app(prog_name="agentroute")
