"""What the clients of all sources share about requests: timeouts, retries, rate limits, the server's clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self, TypeVar

import requests
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from producer.api_response import (
    ApiConnectionError,
    ApiRequestError,
    ApiResponseError,
    ResponseProblem,
    error_reason,
)

Query = Mapping[str, str | int]
T = TypeVar("T")
USER_AGENT = "weatherglass"
MAX_RESPONSE_BYTES = 100 * 1024**2
"""Largest body that is read, after decompression. Two weeks of quarter hours of a thousand stations are about 50 MB."""
REPLAY_SERVER = "weatherglass-replay"
"""Name of the replay server in the header `Server`."""
DATE_RESOLUTION_SECONDS = 1.0
"""The `Date` header is truncated to full seconds, so it may be older than the response by this much."""


class _TransientError(ApiConnectionError):
    """A failure that may disappear within seconds."""


def _is_transient(error: BaseException) -> bool:
    incomplete = isinstance(error, ApiResponseError) and error.problem is ResponseProblem.INCOMPLETE
    return incomplete or isinstance(error, _TransientError)


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts of a request, and retries after transient failures."""

    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    attempts: int = 4
    max_wait_seconds: float = 15.0
    """Upper limit of the wait between two attempts. Waits are random, up to 1, 2, 4 … seconds."""


class ApiClient:
    """Base class of the clients.

    Attributes:
        calls: requests so far, counted as the API counts them.
        clock_skew: how far this machine's clock is ahead of the server's, seconds, by the last response; None if the
            response had no valid `Date` header.
        replayed: whether the last response came from the replay server.
    """

    def __init__(self, retry_policy: RetryPolicy):
        self.retry_policy = retry_policy
        self.calls = 0
        self.clock_skew: float | None = None
        self.replayed = False
        self._session = requests.Session()
        self._session.headers["User-Agent"] = USER_AGENT

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def _request(self, url: str, query: Query, parse: Callable[[bytes], T], attempts: int, calls: int = 1) -> T:
        """The parsed response, requested again after transient failures.

        Args:
            calls: how often the API counts a request.

        Raises:
            ApiConnectionError: no usable response after all attempts.
            ApiRequestError: the server rejects the request.
            ApiResponseError: the response is too large, or from `parse`.
        """

        def attempt() -> T:
            return parse(self._get_once(url, query, calls))

        retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=wait_random_exponential(max=self.retry_policy.max_wait_seconds),
            retry=retry_if_exception(_is_transient),
            reraise=True,
        )
        try:
            return retrying(attempt)
        except _TransientError as error:
            raise ApiConnectionError(f"{error} ({attempts} attempts)") from error

    def _get_once(self, url: str, query: Query, calls: int) -> bytes:
        timeout = (self.retry_policy.connect_seconds, self.retry_policy.read_seconds)
        self.calls += calls
        try:
            with self._session.get(url, params=query, timeout=timeout, stream=True) as response:
                body = _read_body(response)
        except requests.Timeout as error:
            raise _TransientError(f"{url} did not respond within {sum(timeout):g} s") from error
        except requests.RequestException as error:
            raise _TransientError(f"{url} cannot be reached: {error}") from error
        self.clock_skew = clock_skew(response)
        self.replayed = response.headers.get("Server", "").startswith(REPLAY_SERVER)
        if response.ok:
            return body
        reason = error_reason(body) or response.reason or "no reason given"
        message = f"{url} returned {response.status_code}: {reason}"
        if response.status_code == 429 and not self._limit_ends_soon(reason):
            raise ApiConnectionError(message)
        if response.status_code == 429 or response.status_code >= 500:
            raise _TransientError(message)
        raise ApiRequestError(message)

    def _limit_ends_soon(self, reason: str) -> bool:  # noqa: ARG002
        """Whether a request that exceeds a rate limit can succeed within seconds."""
        return False


def _read_body(response: requests.Response) -> bytes:
    """The decompressed body, read up to the limit, so that no server can fill the memory."""
    body = bytearray()
    for block in response.iter_content(1 << 16):
        body += block
        if len(body) > MAX_RESPONSE_BYTES:
            message = f"{response.url.partition('?')[0]} sends more than {MAX_RESPONSE_BYTES:,} bytes"
            raise ApiResponseError(ResponseProblem.TOO_LARGE, message)
    return bytes(body)


def clock_skew(response: requests.Response) -> float | None:
    """How far this machine's clock is ahead of the server's, seconds; 0 if the transfer time explains it."""
    try:
        server_time = parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None
    difference = time.time() - server_time
    transfer = response.elapsed.total_seconds() + DATE_RESOLUTION_SECONDS
    return 0.0 if 0 <= difference <= transfer else difference
