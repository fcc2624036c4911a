"""Which records are answered: the leading window of an observation, once, and again if the observation is revised."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from weatherglass.records import WindowFeatures

LEADING = timedelta(seconds=60)
"""An observation's leading window ends at most this long after it; of its five windows it has the most past."""


def is_leading(window: WindowFeatures) -> bool:
    return timedelta(0) < window.window_end - window.aggregated_features.last_observation <= LEADING


class LastPredicted:
    """The record that each station was last answered for."""

    def __init__(self) -> None:
        self._last: dict[str, WindowFeatures] = {}

    def needed(self, windows: Iterable[WindowFeatures]) -> list[WindowFeatures]:
        """The records of a batch that need an answer: at most one a station, the newest leading one.

        It must be newer than the station's last answer, or the same observation with changed content.
        """
        newest: dict[str, WindowFeatures] = {}
        for window in windows:
            if is_leading(window) and _not_older(window, newest.get(window.station_id)):
                newest[window.station_id] = window
        return [window for window in newest.values() if self._is_news(window)]

    def mark(self, windows: Iterable[WindowFeatures]) -> None:
        """Take note that these, in this order, have been answered, or were passed over for newer ones."""
        for window in windows:
            if is_leading(window) and _not_older(window, self._last.get(window.station_id)):
                self._last[window.station_id] = window

    def _is_news(self, window: WindowFeatures) -> bool:
        last = self._last.get(window.station_id)
        return last is None or (_not_older(window, last) and window != last)


def _not_older(window: WindowFeatures, other: WindowFeatures | None) -> bool:
    return other is None or (window.aggregated_features.last_observation >= other.aggregated_features.last_observation)
