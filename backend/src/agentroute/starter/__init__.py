"""How an agent of one's own begins: the files that ``agentroute init`` and ``agentroute import`` write."""
