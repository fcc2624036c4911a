"""From the replay that disturbs readings to the store: what it has disturbed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import requests

from weatherglass.settings import Settings
from weatherglass.store.detection_scores import InjectedFault

TIMEOUT_SECONDS = 30.0


def fetch_labels(settings: Settings) -> list[InjectedFault]:
    """The faults in the last days of the replay, as far as they have been shown.

    Raises:
        requests.RequestException: the replay server does not answer, or not with labels.
    """
    answer = requests.get(f"{settings.replay_url}/faults", timeout=TIMEOUT_SECONDS)
    answer.raise_for_status()
    return [_fault(content) for content in answer.json()["faults"]]


def _fault(content: dict[str, Any]) -> InjectedFault:
    times = {name: datetime.fromisoformat(content[name]) for name in ("start", "end")}
    return InjectedFault(**{**content, **times})
