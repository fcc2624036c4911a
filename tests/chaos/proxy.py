"""A TCP proxy between Kafka clients and a broker, with faults that can be switched on and off.

It forwards whole frames of Kafka's protocol (four bytes of length, then the content), so that it can recognize the
requests that end a transaction. A fault applies to the connections whose client id starts with a prefix; every client
sends its id in the header of each request (https://kafka.apache.org/protocol).

Clients connect to the addresses that the broker advertises. `proxied_configuration` makes the broker advertise the
address of the proxy, while it listens on its own.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

END_TXN = 26
LOOPBACK = "127.0.0.1"
SIZE = struct.Struct(">i")
REQUEST = struct.Struct(">hhih")
"""API key, API version, correlation id, length of the client id (-1: none)."""
CORRELATION = struct.Struct(">i")
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with a timeout of 0: closing sends a TCP reset."""


class Closed(Exception):
    """The other side closed the connection."""


@dataclass
class Faults:
    """The present faults. All can be combined; the defaults are no fault.

    Attributes:
        delay: seconds before each frame is forwarded, in each direction.
        half_open: accept and read nothing more, but keep the connections open.
        end_delay: seconds before a request that ends a transaction is forwarded.
        end_drop: forward requests that end a transaction, and reset the connection instead of forwarding the response.
    """

    delay: float = 0.0
    half_open: bool = False
    end_delay: float = 0.0
    end_drop: bool = False


@dataclass(eq=False)
class Connection:
    """Both sockets of a client's connection."""

    client: socket.socket
    broker: socket.socket
    client_id: str = ""
    ending: set[int] = field(default_factory=set)
    """Correlation ids of the requests that end a transaction and have no response yet."""

    def reset(self) -> None:
        """Close both sockets, the client's with a TCP reset."""
        for one in (self.client, self.broker):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                one.shutdown(socket.SHUT_RD)  # wakes the thread that reads
            one.close()


class Proxy:
    """Listens on `port` (0: a free one) and forwards to `target`, a port on loopback. Thread-safe.

    Attributes:
        injected: number of frames or connections that each fault affected.
    """

    def __init__(self, target: int, port: int = 0):
        self.target = target
        self.faults = Faults()
        self.prefix = ""
        self.injected: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._connections: set[Connection] = set()
        self._listener = socket.create_server((LOOPBACK, port))
        self.port: int = self._listener.getsockname()[1]
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def inject(self, faults: Faults, prefix: str = "") -> None:
        """Replace the present faults; they apply to clients whose id starts with `prefix`."""
        with self._changed:
            self.faults, self.prefix = faults, prefix
            self._changed.notify_all()

    def clear(self) -> None:
        """End all faults. What a half-open connection held back is forwarded."""
        self.inject(Faults())

    def reset(self, prefix: str = "") -> int:
        """Reset the connections of the clients whose id starts with `prefix`; their number."""
        with self._changed:
            chosen = [one for one in self._connections if one.client_id.startswith(prefix)]
            self.injected["reset"] += len(chosen)
            self._changed.notify_all()
        for connection in chosen:
            connection.reset()
        return len(chosen)

    def wait_for(self, fault: str, count: int, timeout: float = 60.0) -> bool:
        """Wait until a fault was injected `count` times; False if it was not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.injected[fault] >= count, timeout)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self.faults = Faults()
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._listener.close()
        for connection in list(self._connections):
            connection.reset()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            broker = socket.create_connection((LOOPBACK, self.target))
        except OSError:  # the broker is not running: the client sees the same as without the proxy
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            client.close()
            return
        connection = Connection(client, broker)
        for one in (client, broker):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            self._connections.add(connection)
        threading.Thread(target=self._pump, args=[connection, self._forward_responses], daemon=True).start()
        self._pump(connection, self._forward_requests)

    def _pump(self, connection: Connection, forward: Callable[[Connection], None]) -> None:
        try:
            forward(connection)
        except (OSError, Closed):
            pass
        finally:
            with self._changed:
                self._connections.discard(connection)
            connection.reset()

    def _forward_requests(self, connection: Connection) -> None:
        for frame in _frames(connection.client):
            api, _, correlation, connection.client_id = _request(frame, connection.client_id)
            ending = api == END_TXN
            if ending:
                connection.ending.add(correlation)
            self._hold(connection, ending)
            connection.broker.sendall(frame)

    def _forward_responses(self, connection: Connection) -> None:
        for frame in _frames(connection.broker):
            (correlation,) = CORRELATION.unpack_from(frame, SIZE.size)
            ending = correlation in connection.ending
            connection.ending.discard(correlation)
            if ending and self._applies(connection) and self.faults.end_drop:
                self._count("end_drop")
                raise Closed
            self._hold(connection, False)
            connection.client.sendall(frame)

    def _hold(self, connection: Connection, ending: bool) -> None:
        """Wait as long as the present faults demand; a delay ends early when the faults are replaced."""
        with self._changed:
            while self._applies(connection) and self.faults.half_open and not self._closed:
                self.injected["half_open"] += 1
                self._changed.notify_all()
                self._changed.wait()
            faults = self.faults
            if not self._applies(connection):
                return
            pauses = {"delay": faults.delay, "end_delay": faults.end_delay if ending else 0.0}
            for name, seconds in pauses.items():
                if seconds:
                    self.injected[name] += 1
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self.faults is not faults or self._closed, seconds)

    def _applies(self, connection: Connection) -> bool:
        return connection.client_id.startswith(self.prefix)

    def _count(self, fault: str) -> None:
        with self._changed:
            self.injected[fault] += 1
            self._changed.notify_all()


def proxied_configuration(text: str, internal: int, proxy: int) -> str:
    """The broker's `server.properties`, changed so that clients use the proxy and the broker itself does not.

    A client that connects to the listener `PLAINTEXT` receives the address of the proxy and makes all later connections
    there. The broker gets a listener of its own, because it writes the markers of transactions through a connection to
    itself.

    Args:
        internal: free port for the broker's own listener.
        proxy: port of the proxy, whose target is the port of `PLAINTEXT`.
    """
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    own = f"INTERNAL://{LOOPBACK}:{internal}"
    values["listeners"] += f",{own}"
    values["advertised.listeners"] = f"PLAINTEXT://{LOOPBACK}:{proxy},{own}"
    values["inter.broker.listener.name"] = "INTERNAL"
    values["listener.security.protocol.map"] = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT"
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _frames(source: socket.socket) -> Iterator[bytes]:
    """The frames that arrive on a socket, with their length.

    Raises:
        Closed: the other side closed the connection.
    """
    while True:
        head = _read(source, SIZE.size)
        yield head + _read(source, *SIZE.unpack(head))


def _read(source: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        chunk = source.recv(min(size - len(content), 1 << 20))
        if not chunk:
            raise Closed
        content += chunk
    return bytes(content)


def _request(frame: bytes, client_id: str) -> tuple[int, int, int, str]:
    """API key, version, correlation id and client id of a request; without an id, the one given is kept."""
    api, version, correlation, length = REQUEST.unpack_from(frame, SIZE.size)
    begin = SIZE.size + REQUEST.size
    name = frame[begin : begin + length].decode(errors="replace") if length > 0 else client_id
    return api, version, correlation, name
