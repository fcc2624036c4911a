"""The two endpoints for consumer weather stations, and nothing else.

The stations send their secret in the query or the form, by plain HTTP. So only the names of fields are logged of a
request, and, if its token is valid, its station and the values that are not usable.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from producer.console_protocols import RefusedRequest, parse_form, read_reading, required
from weatherglass.api.limited_body import read_body
from weatherglass.api.problems import FORBIDDEN, INVALID_PARAMETER, NO_VALID_RECORD, TOO_LARGE, UNAUTHORIZED, Problem
from weatherglass.api.record_publisher import RecordPublisher
from weatherglass.api.station_auth import StationAuthenticator
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationToken
from weatherglass.stations import own_stations

log = logging.getLogger(__name__)

WEATHER_UNDERGROUND_PATH = "/weatherstation/updateweatherstation.php"
ECOWITT_PATH = "/data/report"
INVALID_PASSWORD = "INVALIDPASSWORDID"  # noqa: S105 (by which clients of Weather Underground know the cause)
MAX_FORM_BYTES = 16_384
"""A query or form; those of stations with all extra sensors have about 4,000."""


def create_listener(settings: Settings, clock: Callable[[], datetime]) -> Starlette:
    """Create the app.

    Args:
        clock: returns the current time in UTC.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.receiver = ReadingReceiver(settings, clock)
        yield
        await app.state.receiver.close()

    weather_underground = Route(WEATHER_UNDERGROUND_PATH, _weather_underground, methods=["GET"])
    weather_underground.methods = {"GET"}  # HEAD, which Starlette adds, would publish as well
    return Starlette(
        lifespan=lifespan,
        routes=[
            weather_underground,
            Route(ECOWITT_PATH, _ecowitt, methods=["POST"]),
            Route(f"{ECOWITT_PATH}/", _ecowitt, methods=["POST"]),
        ],
        exception_handlers={Problem: _on_problem},
    )


async def _weather_underground(request: Request) -> Response:
    query = request.scope["query_string"]
    if len(query) > MAX_FORM_BYTES:
        raise Problem(TOO_LARGE, f"The query is too large; allowed: at most {MAX_FORM_BYTES:,} bytes.")
    await request.app.state.receiver.receive(request, query, "PASSWORD", "ID")
    return PlainTextResponse("success\n")


async def _ecowitt(request: Request) -> Response:
    body = await read_body(request, MAX_FORM_BYTES)
    await request.app.state.receiver.receive(request, body, "PASSKEY", None)
    return PlainTextResponse("OK\n")


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    is_invalid = error.kind is UNAUTHORIZED and request.url.path == WEATHER_UNDERGROUND_PATH
    text = f"{INVALID_PASSWORD}|{error.detail}" if is_invalid else error.detail
    return PlainTextResponse(f"{text}\n", error.kind.status, error.headers)


class ReadingReceiver:
    """Authenticates, converts and publishes readings."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]):
        self._settings, self._clock = settings, clock
        self._authenticator = StationAuthenticator(settings)
        self._publisher = RecordPublisher(settings, clock)
        self._reported: dict[str, object] = {}
        """What was logged last, by station: consoles repeat the same fault every minute."""

    async def receive(self, request: Request, form: bytes, secret_field: str, station_field: str | None) -> None:
        """Publish the reading of a query or form.

        Args:
            secret_field: the field with the token.
            station_field: the field with the station; None if the token is for a single one.

        Raises:
            Problem: nothing was published.
        """
        address = request.client.host if request.client else ""
        try:
            fields = parse_form(form.decode("utf-8", "replace"))
            token = self._authenticator.authenticate(required(fields, secret_field), address)
            station_id = required(fields, station_field) if station_field else _only_station(token)
        except RefusedRequest as refused:
            raise Problem(INVALID_PARAMETER, str(refused)) from None
        except Problem as problem:
            if problem.kind is UNAUTHORIZED:
                log.warning("Refused a request from %s: %s is not a token", address, secret_field)
            raise
        try:
            await self._publish(token, station_id, fields)
        except Problem as problem:
            if token.permits(station_id):
                known = station_id in own_stations(self._settings)  # others could be any texts
                self._report(station_id if known else f"token {token.name}", f"refused: {problem.detail}")
            raise

    async def _publish(self, token: StationToken, station_id: str, fields: dict[str, list[str]]) -> None:
        now = self._clock()
        station = own_stations(self._settings).get(station_id)
        record: dict[str, object] = {"station_id": station_id, "timestamp": iso(now)}
        unused: dict[str, str] = {}
        if station:  # otherwise the check of the record says what is wrong with the station
            try:
                reading = read_reading(fields, station, now)
            except RefusedRequest as refused:
                raise Problem(INVALID_PARAMETER, str(refused)) from None
            record, unused = reading.record, reading.unused
        checked = await self._publisher.publish(token, [record])
        for problem in checked.problems:
            raise Problem(NO_VALID_RECORD, problem.detail)
        notes = "; ".join(f"{name}: {reason}" for name, reason in unused.items())
        self._report(station_id, f"not used: {notes}" if notes else None)

    def _report(self, station_id: str, message: str | None) -> None:
        if self._reported.get(station_id) != message:
            self._reported[station_id] = message
            log.log(logging.WARNING if message else logging.INFO, "%s: %s", station_id, message or "all fields used")

    async def close(self) -> None:
        await self._publisher.close()


def _only_station(token: StationToken) -> str:
    if token.only_station is None:
        detail = f"The token {token.name} is for several stations; Ecowitt sends no station, so it needs one for each."
        raise Problem(FORBIDDEN, detail)
    return token.only_station
