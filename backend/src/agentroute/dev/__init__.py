"""``agentroute dev``: the embedded mode for the folder that a developer works in. Changed files are used at once."""
