"""Addresses: one form of each, what limits count, and who is behind a trusted proxy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.rate_limits import MINUTE_MS, UsageByAddress
from gateway.wire.addresses import TrustedProxies, canonical, counted_as
from gateway.wire.places import Place, Places

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:ffff::/48", "192.0.2.1"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4,203.0.113.9 , 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 192.0.2.1, 2001:db8:ffff::2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::9]:4711", "2001:db8::9"),
        ("10.0.0.1", "2001:DB8:0::9", "2001:db8::9"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown, 10.0.0.7", "10.0.0.7"),
        ("10.0.0.1", "203.0.113.9,", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
    ],
)
def test_the_client_is_the_rightmost_that_is_no_trusted_proxy(peer: str, forwarded_for: str, client: str) -> None:
    assert PROXIES.client_behind(peer, forwarded_for) == client


@settings(max_examples=50)
@given(written=st.text(max_size=50), client=st.ip_addresses(v=4))
def test_nothing_that_a_client_writes_changes_who_it_is(written: str, client: object) -> None:
    """A proxy adds the address of its peer behind what that has sent."""
    ip = str(client)
    if not PROXIES.trust(ip):
        assert PROXIES.client_behind("10.0.0.1", f"{written}, {ip}") == ip


@settings(max_examples=50)
@given(address=st.ip_addresses(v=6))
def test_addresses_of_one_network_count_as_one(address: object) -> None:
    text = str(address)
    name = counted_as(text)
    assert counted_as(canonical(text)) == name
    if name.endswith("::/64"):
        assert counted_as(name.removesuffix("/64") + "1") == name


def test_limits_count_a_network_of_ipv6_once() -> None:
    usages = UsageByAddress(MINUTE_MS)
    assert usages.of("2001:db8::1", 0) is usages.of("2001:db8::2", 0)
    assert usages.of("2001:db8::1", 0) is not usages.of("2001:db8:0:1::1", 0)
    assert usages.of("192.0.2.1", 0) is usages.of("::ffff:192.0.2.1", 0)


@pytest.mark.parametrize("network", ["", "10.0.0.1/8", "10.0.0.0/33", "proxy.example", "10.0.0.0/8/8"])
def test_a_network_that_is_none_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        TrustedProxies([network])


@settings(max_examples=50)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]), st.booleans()))
)
def test_places_are_counted_and_all_are_free_in_the_end(steps: list[tuple[str, bool]]) -> None:
    places = Places(5, 2)
    taken: list[Place] = []
    for ip, leaves in steps:
        if leaves and taken:
            place = taken.pop(0)
            place.leave()
            place.leave()
        elif (new := places.take()) is not None:
            taken.append(new)
            before = places.count_of(ip)
            assert new.belongs_to(ip) == (before < 2)
        else:
            assert len(taken) == 5
        assert places.taken == len(taken)
        assert all(count <= 2 for count in places._of_address.values())
    for place in taken:
        place.leave()
    assert (places.taken, places._of_address) == (0, {})
