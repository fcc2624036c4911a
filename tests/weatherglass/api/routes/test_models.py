"""The choice of the two versions to compare."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from weatherglass.api.routes.models import CHALLENGER, ModelKind, _select_version
from weatherglass.registry.registry import CHAMPION


def test_a_version_is_not_compared_with_itself() -> None:
    versions: list[Any] = [
        SimpleNamespace(version="8", aliases=(CHALLENGER,)),
        SimpleNamespace(version="7", aliases=(CHAMPION,)),
    ]
    for alias, other, expected in ((CHALLENGER, "8", "7"), (CHAMPION, "7", "8"), (CHALLENGER, "7", "8")):
        assert _select_version(versions, ModelKind.FORECASTER, None, alias, other).version == expected
