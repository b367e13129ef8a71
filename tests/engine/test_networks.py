"""The networks of an API key: their one canonical form, and which addresses they hold."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.definitions import are_valid_networks
from engine.networks import NetworkError, allows, format_networks, pack_networks, unpack_networks
from engine.records import KEY_NETWORKS_MAX

networks = st.one_of(
    st.builds(lambda address, bits: str(ip_network((address, bits), strict=False)), st.ip_addresses(v=4), st.integers(0, 32)),
    st.builds(lambda address, bits: str(ip_network((address, bits), strict=False)), st.ip_addresses(v=6), st.integers(0, 128)),
)  # fmt: skip


@given(st.lists(networks, max_size=KEY_NETWORKS_MAX))
def test_what_is_packed_is_canonical_and_reads_back(texts: list[str]) -> None:
    packed = pack_networks(texts)
    assert are_valid_networks(packed)
    assert pack_networks(format_networks(packed)) == packed == pack_networks([*reversed(texts)])


IPV4_IN_IPV6 = IPv6Network("::ffff:0:0/96")


def in_ipv4(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """The IPv4 network that an IPv6 one means, where it means one."""
    if isinstance(network, IPv6Network) and network.subnet_of(IPV4_IN_IPV6):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None
        return IPv4Network((mapped, network.prefixlen - IPV4_IN_IPV6.prefixlen))
    return network


@given(st.lists(networks, min_size=1, max_size=3), st.ip_addresses())
@example(["::ffff:0:0/96"], IPv4Address("0.0.0.0"))
def test_an_address_is_held_as_the_standard_library_says(texts: list[str], address: IPv4Address | IPv6Address) -> None:
    found = unpack_networks(pack_networks(texts))
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    held = [in_ipv4(ip_network(text)) for text in texts]
    assert allows(found, str(address)) == any(
        address in network for network in held if network.version == address.version
    )


@pytest.mark.parametrize(
    ("texts", "ip", "allowed"),
    [
        ([], "203.0.113.9", True),
        ([], "no address", True),
        (["203.0.113.0/24"], "203.0.113.9", True),
        (["203.0.113.0/24"], "::ffff:203.0.113.9", True),
        (["::ffff:203.0.113.0/120"], "203.0.113.9", True),
        (["203.0.113.0/24"], "203.0.114.9", False),
        (["203.0.113.0/24"], "2001:db8::1", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["::/0"], "203.0.113.9", False),
        (["::/0"], "2001:db8::1", True),
        (["0.0.0.0/0"], "203.0.113.9", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["203.0.113.0/24"], "", False),
        (["203.0.113.0/24"], "203.0.113.9, 10.0.0.1", False),
    ],
)
def test_which_addresses_a_network_holds(texts: list[str], ip: str, allowed: bool) -> None:
    assert allows(unpack_networks(pack_networks(texts)), ip) is allowed


@pytest.mark.parametrize(
    "text", ["", "all", "203.0.113.7/24", "203.0.113.0/33", "2001:db8::1/32", "203.0.113", "1/8", "fe80::1%eth0/64"]
)
def test_what_is_no_network_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(NetworkError, match=r"write a network as 203\.0\.113\.0/24|at most"):
        pack_networks([text])


def test_a_key_has_so_many_networks_and_not_more() -> None:
    texts = [f"203.0.113.{number}" for number in range(KEY_NETWORKS_MAX + 1)]
    assert len(format_networks(pack_networks(texts[:-1]))) == KEY_NETWORKS_MAX
    with pytest.raises(NetworkError, match="at most 16 networks, not 17"):
        pack_networks(texts)


V4 = pack_networks(["203.0.113.0/24"])
V6 = pack_networks(["2001:db8::/32"])


@pytest.mark.parametrize(
    "packed",
    [
        V4[:-1],
        V4 + b"\0",
        V4 + V4,
        V4 + V6,
        bytes([129]) + bytes(16),
        bytes([255]) + bytes(16),
        bytes([120]) + bytes(15) + b"\1",
        bytes([0]) + bytes(15) + b"\1",
        b"".join(bytes([128]) + number.to_bytes(16, "big") for number in range(KEY_NETWORKS_MAX + 1)),
    ],
    ids=["short", "long", "twice", "order", "129 bits", "255 bits", "bits behind", "bits behind 0", "too many"],
)
def test_any_other_bytes_are_no_networks(packed: bytes) -> None:
    assert are_valid_networks(V6 + V4) and are_valid_networks(V4) and are_valid_networks(b"")
    assert not are_valid_networks(packed)
