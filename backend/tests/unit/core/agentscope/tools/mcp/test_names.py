"""Names of MCP tools: what providers accept, the same for ever, and never two tools with one name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.tools.mcp.names import SERVER_NAME, offered_name, server_of

servers = st.lists(st.text("aB3-", min_size=1, max_size=6), min_size=1, max_size=4).map("_".join)
tools = st.one_of(
    st.text(),
    st.text(alphabet="a_-.", max_size=70),
    # What another tool's name with a hash looks like.
    st.tuples(servers, st.text()).map(lambda pair: offered_name(*pair)),
    st.text().map(lambda text: offered_name("s", text).removeprefix("s__")),
)


@given(server=servers, tool=tools)
def test_every_name_is_one_that_providers_accept_and_says_its_server(server: str, tool: str) -> None:
    name = offered_name(server, tool)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
    assert server_of(name) == server


@given(first=st.tuples(servers, tools), second=st.tuples(servers, tools))
def test_two_tools_never_have_one_name(first: tuple[str, str], second: tuple[str, str]) -> None:
    if first != second:
        assert offered_name(*first) != offered_name(*second)


@given(server=servers, tool=tools)
def test_the_name_of_a_tool_whose_name_is_anothers_with_a_hash_is_a_third(server: str, tool: str) -> None:
    name = offered_name(server, tool)

    assert offered_name(server, name.removeprefix(f"{server}__")) != name or name == f"{server}__{tool}"


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("search_code", r"github__search_code"),
        ("x" * 56, r"github__x{56}"),
        ("search.code", r"github__search_code_[0-9a-f]{10}"),
        ("x" * 57, r"github__x{45}_[0-9a-f]{10}"),
        ("a_0123456789", r"github__a_0123456789_[0-9a-f]{10}"),
        ("", r"github___[0-9a-f]{10}"),
    ],
)
def test_a_name_that_fits_stays_and_another_gets_a_hash(tool: str, name: str) -> None:
    assert re.fullmatch(name, offered_name("github", tool))


@pytest.mark.parametrize("server", ["", "a__b", "a_", "_a", "a.b", "ä", "a" * 33, "a\n"])
def test_a_servers_name_cannot_be_taken_for_a_part_of_another(server: str) -> None:
    assert not re.fullmatch(SERVER_NAME, server)
