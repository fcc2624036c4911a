"""Client of the replay server for the labels of injected faults."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import requests

from weatherglass.settings import Settings
from weatherglass.store.detection_scores import InjectedFault

TIMEOUT_SECONDS = 30.0


def fetch_labels(settings: Settings) -> list[InjectedFault]:
    """The faults in the last days of the replay, up to its present.

    Raises:
        requests.RequestException: the replay server is not available, or returns an error.
    """
    response = requests.get(f"{settings.replay_url}/faults", timeout=TIMEOUT_SECONDS)
    response.raise_for_status()
    return [_fault(content) for content in response.json()["faults"]]


def _fault(content: dict[str, Any]) -> InjectedFault:
    times = {name: datetime.fromisoformat(content[name]) for name in ("start", "end")}
    return InjectedFault(**{**content, **times})
