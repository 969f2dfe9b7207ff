"""The network: at which address a run reaches its container."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pgherd.servers.docker import network

pytestmark = pytest.mark.slow


def test_port_is_published_on_loopback_if_the_bridge_is_elsewhere(pytester):
    """If the bridge is in a virtual machine, as with Docker Desktop, a loopback port is used."""
    pytester.makeconftest(
        "from pgherd.servers.docker import network\nnetwork._own_bridge = lambda engine: None"
    )
    pytester.makepyfile(
        """
        def test_host(pg):
            assert pg.host == "127.0.0.1"
            pg.connect().close()
        """
    )
    result = pytester.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"pgherd: docker .* at 127\.0\.0\.1:\d+"])


def test_no_port_is_published_if_the_bridge_is_here(pytester, engine):
    """If this machine has the bridge, the run reaches the container at its own address."""
    subnet = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    pytester.makepyfile(
        f"""
        import ipaddress
        def test_host(pg):
            assert ipaddress.ip_address(pg.host) in ipaddress.ip_network("{subnet}")
            assert pg.port == 5432
        """
    )
    pytester.runpytest_subprocess("-n0").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("config", "is_here"),
    [
        ({"Subnet": "127.7.0.0/16", "Gateway": "127.7.0.5"}, True),
        # An engine that has never been started before names no gateway.
        ({"Subnet": "127.7.0.0/16"}, True),
        ({"Subnet": "203.0.113.0/24", "Gateway": "203.0.113.1"}, False),
        ({"Subnet": "203.0.113.0/24"}, False),
    ],
)
def test_bridge_is_here_if_its_address_is(config, is_here):
    """The bridge is on this machine if its address is, whether the engine names it or not."""
    bridge = SimpleNamespace(name="bridge", attrs={"IPAM": {"Config": [config]}})
    engine = SimpleNamespace(networks={"bridge": bridge})
    found = network._own_bridge(engine)  # noqa: SLF001
    assert found == ("bridge" if is_here else None)
