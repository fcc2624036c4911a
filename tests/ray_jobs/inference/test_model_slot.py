from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ray_jobs.inference.canary_check import CanaryBatch
from ray_jobs.inference.model_slot import ModelSlot
from tests.synthetic_history import history
from weatherglass.registry.registry import ModelVersion

CANARY = CanaryBatch.of_grid(history(count=1, days=2))


def check(model: str, active: str, canary: CanaryBatch) -> str:
    if model == "bad":
        raise ValueError(model)
    return f"{model} after {active}"


def slot(keeps_previous: bool = True) -> ModelSlot[str]:
    return ModelSlot("forecaster", "kind", lambda folder: folder.name, check, "baseline", "none", keeps_previous)


def version(name: str) -> ModelVersion:
    return ModelVersion("kind", name, Path(name), {})


def test_a_new_slot_has_the_baseline_and_is_degraded() -> None:
    new = slot()
    assert (new.model, new.version, new.has_model, new.status.state) == ("baseline", "none", False, "degraded")


def test_a_version_is_loaded_from_its_folder() -> None:
    assert slot().load(version("a")) == "a"


def test_a_model_is_checked_against_the_active_one() -> None:
    assert slot().validate("a", CANARY, "x") == "a after x"
    assert slot().validate("bad", None, "x"), "nothing to compare with"
    with pytest.raises(ValueError, match="bad"):
        slot().validate("bad", CANARY, "x")


def test_a_slot_reverts_to_the_previous_version_and_then_to_the_baseline() -> None:
    filled = slot()
    for name in ("1", "2", "3"):
        filled.activate(f"model {name}", name)
    for expected in (("model 2", "2"), ("baseline", "none"), ("baseline", "none")):
        filled.revert({"3"})
        assert (filled.model, filled.version) == expected


def test_a_slot_does_not_revert_to_a_rejected_version() -> None:
    filled = slot()
    for name in ("1", "2"):
        filled.activate(f"model {name}", name)
    filled.revert({"1", "2"})
    assert filled.version == "none"


def test_a_slot_that_keeps_no_previous_version_reverts_to_the_baseline() -> None:
    filled = slot(keeps_previous=False)
    for name in ("1", "2"):
        filled.activate(f"model {name}", name)
    filled.revert({"2"})
    assert filled.version == "none"


def test_success_activation_and_reversion_reset_the_failures() -> None:
    filled = slot()
    for reset in (filled.record_success, lambda: filled.activate("model 1", "1"), lambda: filled.revert(set())):
        filled.failures = 2
        reset()
        assert filled.failures == 0


def test_the_status_keeps_its_time_until_state_or_reason_change() -> None:
    filled = slot()
    filled.set_status("ok", "a")
    since = filled.status.since
    assert since <= datetime.now(UTC)
    filled.set_status("ok", "a")
    assert filled.status.since is since
    filled.set_status("ok", "b")
    assert (filled.status.reason, filled.status.since is since) == ("b", False)
    since = filled.status.since
    filled.set_status("failing", "b")
    assert (filled.status.state, filled.status.since is since) == ("failing", False)
