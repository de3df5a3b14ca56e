"""Breaks the service on purpose; see ``README.md``. A package to pytest too: what it shares ends with its last test."""
