"""Whether a server is there, with servers that are and are not."""

from __future__ import annotations

import socket

import pytest

from weatherglass.net import accepts_connections, connection_error


@pytest.mark.parametrize(
    ("family", "host", "written"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
    ids=["v4", "v6"],
)
def test_a_server_answers_until_it_is_closed(family: socket.AddressFamily, host: str, written: str) -> None:
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with server:
        address = f"{written}:{server.getsockname()[1]}"
        assert accepts_connections(f" {address} ")
    assert "refused" in str(connection_error(address))
    assert not accepts_connections(address)


@pytest.mark.parametrize("address", ["", "nowhere", "127.0.0.1:", "127.0.0.1:http"])
def test_what_is_no_address_is_said(address: str) -> None:
    assert connection_error(address) == f"{address!r} is no host:port"


def test_no_port_is_that_high() -> None:
    assert not accepts_connections("127.0.0.1:99999")
