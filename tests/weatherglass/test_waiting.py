from __future__ import annotations

from weatherglass.waiting import wait_until


def test_the_condition_is_checked_at_least_once() -> None:
    assert wait_until(lambda: True, 0.0)
    assert not wait_until(lambda: False, 0.0)


def test_waiting_ends_when_the_condition_becomes_true() -> None:
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), 60.0, interval=0.0)
    assert list(answers) == []
