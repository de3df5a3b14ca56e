"""Which IP addresses belong to the public internet.

``ipaddress.is_global`` alone is not the answer: it differs between Python releases, counts multicast
as global, and judges an IPv6 address that carries an IPv4 one by its wrapping.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# IANA special-purpose registries (RFC 6890 and updates); what older Pythons call global, or what no
# web site lives in.
_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "192.0.0.0/24",  # protocol assignments; a cloud's metadata lives here
            "192.88.99.0/24",  # 6to4 relays, deprecated
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
            "168.63.129.16/32",  # a cloud's host agent, reachable only from inside, in a public range
        ),
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")  # all that IANA has given out
_NOT_PUBLIC_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, among them Teredo
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, deprecated (RFC 7526); Python before 3.12.4 calls it global
            "3fff::/20",  # documentation, RFC 9637
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address


def public_address(text: str) -> str | None:
    """Return the address to connect to, or ``None`` when it is not public.

    An IPv6 address that carries an IPv4 one (mapped, NAT64) is as public as what
    it carries. A mapped one is returned as IPv4, which is what the system would
    connect to.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return str(address) if _is_public_v4(address) else None
    if address.scope_id is not None:
        return None  # a zone names an interface of this machine
    if address.ipv4_mapped is not None:
        return public_address(str(address.ipv4_mapped))
    return str(address) if _is_public_v6(address) else None


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not any(address in network for network in _NOT_PUBLIC_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    if address in _NAT64:
        return _is_public_v4(IPv4Address(int(address) & 0xFFFF_FFFF))
    return (
        address in _GLOBAL_UNICAST_V6
        and address.is_global
        and not any(address in network for network in _NOT_PUBLIC_V6)
    )
