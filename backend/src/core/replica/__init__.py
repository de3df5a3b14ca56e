"""Reads from a replica of Postgres that are as good as reads from the primary, or are not made there. See docs/adr/0071."""
