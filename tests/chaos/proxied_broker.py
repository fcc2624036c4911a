"""The embedded broker behind the proxy."""

from __future__ import annotations

from tests.chaos.proxy import proxied_configuration
from weatherglass.launcher.kafka import Broker
from weatherglass.settings import Settings


class ProxiedBroker(Broker):
    """The embedded broker, which tells its clients the address of the proxy on the port `proxy`."""

    def __init__(self, settings: Settings, internal: int, proxy: int):
        super().__init__(settings)
        self._internal, self._proxy = internal, proxy

    def _configuration(self) -> str:
        return proxied_configuration(super()._configuration(), self._internal, self._proxy)
