"""The processes of the service and their command line."""

from agentroute.own_packages import prefer_own_packages

# Here, because every program of ours imports this package first.
prefer_own_packages()
