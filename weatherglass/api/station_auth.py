"""Authentication of own stations by their tokens."""

from __future__ import annotations

import logging
import math

from weatherglass.api.login_throttle import FailedLogins
from weatherglass.api.problems import TOKENS_UNAVAILABLE, TOO_MANY_REQUESTS, UNAUTHORIZED, Problem
from weatherglass.files import DamagedFileError
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationToken, StationTokens

log = logging.getLogger(__name__)

RETRY_SECONDS = 60


class StationAuthenticator:
    """Finds the token of a request, and limits guesses for each client address.

    A generated token cannot be guessed, so it is accepted whatever else its address has sent: a station with a wrong
    token does not stop the others at the same address. Other tokens are refused, right or wrong, from an address with
    too many failures.
    """

    def __init__(self, settings: Settings, failures: FailedLogins | None = None):
        self._tokens = StationTokens(settings)
        self._failures = failures or FailedLogins()

    def authenticate(self, secret: str, address: str) -> StationToken:
        """The token with this text.

        Raises:
            Problem: there is no such token, there were too many failures, or the tokens cannot be read.
        """
        try:
            token = self._tokens.find(secret) if secret else None
        except (DamagedFileError, OSError) as error:
            log.error("Own stations cannot publish: %s", error)
            detail = "The tokens of stations cannot be read; see the server log."
            raise Problem(TOKENS_UNAVAILABLE, detail, {"Retry-After": str(RETRY_SECONDS)}) from None
        if token and token.is_generated:
            return token
        if wait := math.ceil(self._failures.retry_after(address)):
            detail = f"Too many requests with a wrong token. Try again in {wait} s."
            raise Problem(TOO_MANY_REQUESTS, detail, {"Retry-After": str(wait)})
        if token is None:
            self._failures.record(address)
            detail = "No valid token of a station. Create one: weatherglass tokens add NAME STATION"
            raise Problem(UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})
        return token
