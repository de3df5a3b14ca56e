from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UrlNotAllowed
from core.public_address import public_address
from core.url_guard import UrlGuard, system_resolve


class FakeResolver:
    """Gives prepared answers in turn, the last one for ever, and remembers the questions."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers: list[Sequence[str]] = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        if not self.answers:
            raise OSError("no such host")
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


PUBLIC = ("93.184.216.34",)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.com", "example.com", 443),
        ("http://example.com/a?b=c#d", "example.com", 80),
        ("HTTPS://Example.COM./", "example.com", 443),
        ("https://example.com:80/", "example.com", 80),
        ("https://bücher.example/", "xn--bcher-kva.example", 443),
        ("https://a_b.example-1.com/", "a_b.example-1.com", 443),
        ("https://1.example/", "1.example", 443),
    ],
)
async def test_public_name_is_allowed_with_its_addresses(url: str, host: str, port: int) -> None:
    resolver = FakeResolver(PUBLIC)

    allowed = await UrlGuard(resolve=resolver).check(url)

    assert (allowed.host, allowed.port, allowed.addresses) == (host, port, PUBLIC)
    assert resolver.asked == [(host, port)]


@pytest.mark.parametrize(
    ("url", "address"), [("http://8.8.8.8/", "8.8.8.8"), ("http://[2606:4700::1]/", "2606:4700::1")]
)
async def test_public_address_needs_no_resolver(url: str, address: str) -> None:
    allowed = await UrlGuard(resolve=FakeResolver()).check(url)

    assert allowed.addresses == (address,)


async def test_mapped_address_is_reached_as_ipv4() -> None:
    allowed = await UrlGuard(resolve=FakeResolver()).check("http://[::ffff:8.8.8.8]/")

    assert allowed.addresses == ("8.8.8.8",)


NEVER = [
    "",
    "example.com",
    "//example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "http://",
    "http:///path",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://:password@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com:22/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:99999999/",
    "https://example.com:abc/",
    "http://exa mple.com/",
    "http://example.com%2f@127.0.0.1/",
    "http://127.0.0.1%2fexample.com/",
    "http://exam\nple.com/",
    "http://example.com\x00/",
    "http://\ud800.com/",
    "http://.example.com/",
    "http://example..com/",
    "http://-example.com/",
    f"http://{'a' * 64}.com/",
    f"http://{'a.' * 130}com/",
    "http://①②⑦.0.0.1/",
    # Numbers in the forms that resolvers take for 127.0.0.1 or 169.254.169.254.
    "http://2130706433/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.1./",
    "http://127.0.0.01/",
    "http://0x/",
    "http://1.2.3.4.5/",
    "http://256.1.1.1/",
    "http://example.com.0x7f/",
    "http://127。0。0。1/",
    "http://2852039166/",
    # Addresses that are not public.
    "http://0.0.0.0/",
    "http://127.0.0.1/",
    "http://10.1.2.3/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[2606:4700::1%25lo]/",
    "http://[::1/",
]


@pytest.mark.parametrize("url", NEVER)
async def test_url_is_refused_before_anybody_is_asked(url: str) -> None:
    resolver = FakeResolver(PUBLIC)

    with pytest.raises(UrlNotAllowed):
        await UrlGuard(resolve=resolver).check(url)

    assert resolver.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        (),
        ("127.0.0.1",),
        ("93.184.216.34", "10.0.0.1"),
        ("10.0.0.1", "93.184.216.34"),
        ("::1",),
        ("::ffff:10.0.0.1",),
        ("fe80::1%eth0",),
        ("64:ff9b::a00:1",),
        ("2002:a00:1::",),
        ("not an address",),
    ],
)
async def test_name_with_an_address_that_is_not_public_is_refused(answer: Sequence[str]) -> None:
    with pytest.raises(UrlNotAllowed, match="not found, or its address is not public"):
        await UrlGuard(resolve=FakeResolver(answer)).check("https://rebind.example/")


async def test_private_and_absent_names_are_told_apart_by_nobody() -> None:
    texts: set[str] = set()
    for resolver in (FakeResolver(("10.0.0.1",)), FakeResolver()):
        with pytest.raises(UrlNotAllowed) as caught:
            await UrlGuard(resolve=resolver).check("https://intranet/")
        texts.add(caught.value.detail)

    assert len(texts) == 1


async def test_name_is_resolved_once_so_a_second_answer_has_no_effect() -> None:
    resolver = FakeResolver(PUBLIC, ("127.0.0.1",))

    allowed = await UrlGuard(resolve=resolver).check("https://rebind.example/")

    assert allowed.addresses == PUBLIC
    assert len(resolver.asked) == 1


async def test_every_check_resolves_anew() -> None:
    guard = UrlGuard(resolve=FakeResolver(PUBLIC, ("127.0.0.1",)))
    await guard.check("https://rebind.example/")

    with pytest.raises(UrlNotAllowed):
        await guard.check("https://rebind.example/")


async def test_addresses_keep_their_order_and_are_few() -> None:
    answer = ["1.1.1.4", "1.1.1.1", "1.1.1.4", "1.1.1.2", "1.1.1.3", "1.1.1.5"]

    allowed = await UrlGuard(resolve=FakeResolver(answer)).check("https://many.example/")

    assert allowed.addresses == ("1.1.1.4", "1.1.1.1", "1.1.1.2", "1.1.1.3")


@pytest.mark.parametrize(
    ("allow", "url", "passes"),
    [
        ("intranet", "http://intranet/", True),
        ("Intranet.", "http://INTRANET./", True),
        ("intranet", "http://intranet:8080/", False),
        ("intranet:8080", "http://intranet:8080/", True),
        ("intranet:8080", "http://intranet/", False),
        ("intranet:8080", "http://intranet:8081/", False),
        ("intranet", "http://sub.intranet/", False),
        ("intranet:8080", "http://user@intranet:8080/", False),
        ("intranet:8080", "ftp://intranet:8080/", False),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/", True),
        ("127.0.0.1:8080", "http://2130706433:8080/", False),
        ("::1", "http://[::1]/", True),
        ("[::1]", "http://[::1]/", True),
        ("[::1]:8080", "http://[::1]:8080/", True),
        ("[0:0::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/", True),
        ("[::1]:8080", "http://[::1]/", False),
    ],
)
async def test_allow_list_lifts_only_what_it_names(allow: str, url: str, passes: bool) -> None:
    guard = UrlGuard([allow], FakeResolver(("10.0.0.1",)))

    if passes:
        assert (await guard.check(url)).addresses
    else:
        with pytest.raises(UrlNotAllowed):
            await guard.check(url)


@pytest.mark.parametrize("entry", ["host:port", "host:", "host:999999", "host:-1"])
def test_wrong_entry_of_the_allow_list_stops_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        UrlGuard([entry])


@given(st.ip_addresses())
async def test_literal_address_passes_only_when_public(address: IPv4Address | IPv6Address) -> None:
    literal = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    try:
        allowed = await UrlGuard(resolve=FakeResolver()).check(f"http://{literal}/")
    except UrlNotAllowed:
        assert public_address(str(address)) is None
    else:
        assert allowed.addresses == (public_address(str(address)),)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{:d}", "0x{:x}", "0{:o}"]))
async def test_number_as_host_is_never_resolved(number: int, form: str) -> None:
    resolver = FakeResolver(PUBLIC)
    with pytest.raises(UrlNotAllowed):
        await UrlGuard(resolve=resolver).check(f"http://{form.format(number)}/")
    assert resolver.asked == []


@given(
    st.text(st.characters(exclude_categories=()), max_size=60),
    st.sampled_from(["", "http://", "https://a.b"]),
)
async def test_any_text_is_allowed_or_refused(text: str, prefix: str) -> None:
    resolver = FakeResolver(PUBLIC)
    try:
        allowed = await UrlGuard(resolve=resolver).check(prefix + text)
    except UrlNotAllowed:
        return
    assert isinstance(allowed.url, httpx.URL)
    assert allowed.url.scheme in ("http", "https")
    assert not allowed.url.userinfo
    assert all(public_address(address) for address in allowed.addresses)


async def test_system_resolver_knows_this_machine() -> None:
    assert set(await system_resolve("localhost", 80)) <= {"127.0.0.1", "::1"}
