"""Connections to servers that exist and to servers that do not."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from weatherglass.net import accepts_connections, connection_error, direct_session


@pytest.mark.parametrize(
    ("family", "host", "written"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
    ids=["v4", "v6"],
)
def test_a_server_accepts_connections_until_it_is_closed(family: socket.AddressFamily, host: str, written: str) -> None:
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with server:
        address = f"{written}:{server.getsockname()[1]}"
        assert accepts_connections(f" {address} ")
    assert connection_error(address) == os.strerror(errno.ECONNREFUSED)
    assert not accepts_connections(address)


@pytest.mark.parametrize("address", ["", "nowhere", "127.0.0.1:", "127.0.0.1:http"])
def test_an_invalid_address_is_reported(address: str) -> None:
    assert repr(address) in str(connection_error(address))
    assert not accepts_connections(address)


def test_a_port_above_65535_accepts_no_connections() -> None:
    assert not accepts_connections("127.0.0.1:99999")


def test_an_error_without_a_system_message_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> socket.socket:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", fail)
    assert connection_error("127.0.0.1:80") == "timed out"


def test_a_direct_session_uses_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:1")
    with direct_session() as session:
        settings = session.merge_environment_settings("http://host.example", {}, None, None, None)
    assert not settings["proxies"]
