from __future__ import annotations

import pytest
import requests

from weatherglass.launcher.wait import wait_for


def test_a_server_that_does_not_respond_is_asked_again() -> None:
    responses = iter([requests.ConnectionError(), requests.Timeout(), False, True])

    def condition() -> bool:
        response = next(responses)
        if isinstance(response, Exception):
            raise response
        return response

    wait_for(condition, 60.0, lambda: "", interval=0.0)
    assert next(responses, None) is None


def test_a_timeout_describes_what_is_missing() -> None:
    with pytest.raises(TimeoutError, match="the first model"):
        wait_for(lambda: False, 0.0, lambda: "the first model", interval=0.0)


def test_other_errors_of_the_condition_and_of_each_poll_end_the_wait() -> None:
    def fail() -> bool:
        raise KeyError("x")

    with pytest.raises(KeyError):
        wait_for(fail, 60.0, lambda: "", interval=0.0)
    with pytest.raises(KeyError):
        wait_for(lambda: False, 60.0, lambda: "", each_poll=fail, interval=0.0)  # type: ignore[arg-type]
