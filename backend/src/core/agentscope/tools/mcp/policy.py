"""Which tools of an MCP server are offered, and with which permission. What the server says of itself never counts."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from core.agentscope.tools.spec import Permission


@dataclass(frozen=True, slots=True)
class McpPolicy:
    """What the profile says about the tools of one server. Patterns are those of file names: ``*``, ``?``, ``[ab]``."""

    server: str
    allow: tuple[str, ...] | None
    """Patterns of the tools that are offered; all tools if ``None``."""
    permission: Permission
    permissions: tuple[tuple[str, Permission], ...] = ()
    reserved: frozenset[str] = frozenset()
    """Names of tools that are ours at this server."""

    def offers(self, tool: str) -> bool:
        """Return whether a tool is offered at all."""
        allowed = self.allow is None or any(fnmatchcase(tool, pattern) for pattern in self.allow)
        return allowed and self.permission_of(tool) != "deny"

    def permission_of(self, tool: str) -> Permission:
        """Return a tool's permission: by its name, else by the first pattern that fits, else the server's."""
        by_name: dict[str, Permission] = dict(self.permissions)
        if tool in by_name:
            return by_name[tool]
        for pattern, permission in self.permissions:
            if fnmatchcase(tool, pattern):
                return permission
        return self.permission

    def unused(self, tools: list[str]) -> list[str]:
        """Return the patterns that fit none of the server's tools: most probably mistakes of spelling."""
        patterns = dict.fromkeys((*(self.allow or ()), *(pattern for pattern, _ in self.permissions)))
        return [pattern for pattern in patterns if not any(fnmatchcase(tool, pattern) for tool in tools)]
