"""Faults of the proxy between a client and a server that answers each request."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import END_TXN, Closed, Faults, Proxy, _frames, proxied_configuration

METADATA = 3


class Server:
    """Answers each request with its correlation id, and keeps what it received."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            for frame in _frames(connection):
                self.received.append(frame)
                connection.sendall(struct.pack(">i", 4) + frame[8:12])
        except (OSError, Closed):
            connection.close()


class Client:
    def __init__(self, port: int, name: str):
        self.name = name.encode()
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self._replies = self.socket.makefile("rb")

    def send(self, correlation: int, api: int = METADATA) -> None:
        content = struct.pack(">hhih", api, 1, correlation, len(self.name)) + self.name
        self.socket.sendall(struct.pack(">i", len(content)) + content)

    def reply(self) -> int:
        return struct.unpack(">ii", self._replies.read(8))[1]

    def call(self, correlation: int, api: int = METADATA) -> int:
        self.send(correlation, api)
        return self.reply()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    running = Proxy(server.port)
    yield running
    running.close()


def test_without_faults_every_reply_arrives(proxy: Proxy) -> None:
    client = Client(proxy.port, "a")
    assert [client.call(n) for n in range(50)] == list(range(50))
    assert not proxy.injected


def test_a_delayed_frame_arrives_after_the_fault_ends(proxy: Proxy, server: Server) -> None:
    client = Client(proxy.port, "a")
    proxy.inject(Faults(delay=600))
    client.send(1)
    assert proxy.wait_for("delay", 1)
    assert not server.received
    proxy.clear()
    assert client.reply() == 1


def test_a_fault_applies_only_to_clients_with_the_prefix(proxy: Proxy, server: Server) -> None:
    proxy.inject(Faults(delay=600), "inference")
    affected, other = Client(proxy.port, "inference-0"), Client(proxy.port, "sink")
    affected.send(1)
    assert proxy.wait_for("delay", 1)
    assert other.call(2) == 2
    assert len(server.received) == 1


def test_a_half_open_connection_holds_frames_back(proxy: Proxy, server: Server) -> None:
    client = Client(proxy.port, "a")
    assert client.call(1) == 1
    proxy.inject(Faults(half_open=True))
    client.send(2)
    assert proxy.wait_for("half_open", 1)
    assert len(server.received) == 1
    proxy.clear()
    assert client.reply() == 2


def test_reset_closes_the_connections_with_the_prefix(proxy: Proxy) -> None:
    affected, other = Client(proxy.port, "inference-0"), Client(proxy.port, "sink")
    assert affected.call(1) == 1
    assert other.call(1) == 1
    assert proxy.reset("inference") == 1
    with pytest.raises(ConnectionError):
        affected.socket.recv(1)
    assert other.call(2) == 2
    assert Client(proxy.port, "inference-0").call(3) == 3


def test_only_the_end_of_a_transaction_is_held(proxy: Proxy, server: Server) -> None:
    client = Client(proxy.port, "a")
    proxy.inject(Faults(end_delay=600))
    assert client.call(1) == 1
    client.send(2, END_TXN)
    assert proxy.wait_for("end_delay", 1)
    assert len(server.received) == 1
    proxy.clear()
    assert client.reply() == 2


def test_the_connection_is_dropped_after_the_server_has_ended_the_transaction(proxy: Proxy, server: Server) -> None:
    client = Client(proxy.port, "a")
    proxy.inject(Faults(end_drop=True))
    assert client.call(1) == 1
    client.send(2, END_TXN)
    with pytest.raises(ConnectionError):
        client.socket.recv(1)
    assert len(server.received) == 2


def test_without_a_server_a_connection_is_reset() -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    proxy = Proxy(port)
    with pytest.raises(ConnectionError):  # when it connects, or when it reads
        Client(proxy.port, "a").socket.recv(1)
    proxy.close()


def test_only_the_clients_listener_is_advertised_with_the_address_of_the_proxy() -> None:
    before = (
        "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2\nadvertised.listeners=PLAINTEXT://127.0.0.1:1\n"
    )
    after = dict(line.split("=", 1) for line in proxied_configuration(before, 3, 4).splitlines())
    assert after["listeners"].split(",")[:2] == before.splitlines()[0].split("=")[1].split(",")
    assert after["advertised.listeners"].split(",") == ["PLAINTEXT://127.0.0.1:4", "INTERNAL://127.0.0.1:3"]
