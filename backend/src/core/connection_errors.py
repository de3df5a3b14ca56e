"""The errors about users' connections to MCP servers. As in ``core/errors.py``: a docstring is the page of its code."""

from __future__ import annotations

from core.errors import Conflict


class LoginNotWanted(Conflict):
    """Users do not log in at this server: it takes a token of theirs, or the application's own identity.

    If ``auth`` of the server is ``user-token``, send the token with ``PUT /connections/{server}``.
    """

    code, title = "login-not-wanted", "Users do not log in at the server"


class TokenNotWanted(Conflict):
    """The server takes no token of yours: it takes a login (``auth`` is ``oauth``), or the application's own identity.

    For a login, begin one with `POST /connections/{server}/login`, or send a message that needs the server: the run asks
    for the login. Both name the address to open. If the server takes the application's identity, there is nothing to
    connect.
    """

    code, title = "token-not-wanted", "The server takes no token of users"
