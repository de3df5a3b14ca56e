from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.public_address import public_address

PRIVATE_V4 = [
    str(IPv4Address(0)),
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
]
PUBLIC_V4 = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "223.255.255.1"]


@pytest.mark.parametrize("address", PRIVATE_V4)
def test_special_ipv4_is_not_public_in_any_wrapping(address: str) -> None:
    number = int(IPv4Address(address))
    sixtofour = IPv6Address((0x2002 << 112) | (number << 80) | 1)

    assert public_address(address) is None
    assert public_address(f"::ffff:{address}") is None
    assert public_address(f"64:ff9b::{address}") is None
    assert public_address(str(sixtofour)) is None
    assert public_address(f"::{address}") is None


@pytest.mark.parametrize("address", PUBLIC_V4)
def test_public_ipv4_is_public(address: str) -> None:
    assert public_address(address) == address
    assert public_address(f"::ffff:{address}") == address
    assert public_address(f"64:ff9b::{address}") == str(ip_address(f"64:ff9b::{address}"))


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_special_ipv6_is_not_public(address: str) -> None:
    assert public_address(address) is None


@pytest.mark.parametrize("address", ["2606:4700:4700::1111", "2a00:1450:4001::1"])
def test_public_ipv6_is_public(address: str) -> None:
    assert public_address(address) == address


@pytest.mark.parametrize(
    "text", ["", "example.com", "127.1", "0177.0.0.1", "2130706433", "1.2.3.4 ", "[::1]"]
)
def test_what_is_not_an_address_is_not_public(text: str) -> None:
    assert public_address(text) is None


@given(st.ip_addresses())
def test_what_the_library_calls_special_is_never_public(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        assert mapped is not None or public_address(str(address)) is None
