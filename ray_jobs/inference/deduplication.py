"""Which records get a prediction: the leading window of each observation once, and again when it is revised."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from weatherglass.records import WindowFeatures

MAX_LEADING_DELAY = timedelta(seconds=60)
"""The leading window of an observation ends at most this long after it; of the five windows that contain the
observation it reaches furthest into the past."""


def is_leading(window: WindowFeatures) -> bool:
    """Whether a window is the leading window of its last observation."""
    return window.window_end - window.aggregated_features.last_observation <= MAX_LEADING_DELAY


class LastPredicted:
    """The record of each station that was predicted last."""

    def __init__(self) -> None:
        self._last: dict[str, WindowFeatures] = {}

    def select(self, windows: Iterable[WindowFeatures]) -> list[WindowFeatures]:
        """The records of a batch that need a prediction: at most one per station, the newest leading window.

        It must be newer than the record that was predicted last, or the same observation with changed content.
        """
        newest: dict[str, WindowFeatures] = {}
        for window in windows:
            if is_leading(window) and _not_older(window, newest.get(window.station_id)):
                newest[window.station_id] = window
        return [window for window in newest.values() if self._is_new(window)]

    def mark(self, windows: Iterable[WindowFeatures]) -> None:
        """Record that these windows, in this order, were predicted or skipped in favour of newer ones."""
        for window in windows:
            if is_leading(window) and _not_older(window, self._last.get(window.station_id)):
                self._last[window.station_id] = window

    def _is_new(self, window: WindowFeatures) -> bool:
        last = self._last.get(window.station_id)
        return last is None or (_not_older(window, last) and window != last)


def _not_older(window: WindowFeatures, other: WindowFeatures | None) -> bool:
    return other is None or (window.aggregated_features.last_observation >= other.aggregated_features.last_observation)
