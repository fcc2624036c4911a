"""The removal of an isolated pipeline: a step that fails costs neither the others nor the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from benchmarks.pipeline import host
from weatherglass.settings import Settings

STEPS = ("_end_jobs", "_end_actors", "_remove_topics", "_remove_groups")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "0001"
    folder.mkdir()
    return Settings(state_dir=folder, topic_prefix="benchmark-0001-")


class Admin:
    """A broker with two groups of the pipeline and one of another; it answers as told."""

    answers: dict[str, str]

    def __init__(self, **_: Any):
        pass

    def list_groups(self) -> list[dict[str, str]]:
        return [{"group_id": name} for name in ("benchmark-0001-a", "benchmark-0001-b", "ray-ml-inference")]

    def delete_groups(self, groups: list[str]) -> dict[str, str]:
        return {group: self.answers.get(group, "OK") for group in groups}

    def close(self) -> None:
        pass


@pytest.mark.parametrize("failing", STEPS)
@pytest.mark.parametrize("error", [KafkaConnectionError("broker"), RuntimeError("ray"), OSError("disk")])
def test_the_other_steps_are_taken_and_the_folder_is_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, failing: str, error: Exception
) -> None:
    taken = []

    def step_named(name: str) -> Any:
        def step(_: Settings) -> None:
            taken.append(name)
            if name == failing:
                raise error

        return step

    for name in STEPS:
        monkeypatch.setattr(host, name, step_named(name))
    with pytest.raises(host.RemovalError):
        host.remove(settings)
    assert taken == list(STEPS)
    assert settings.state_dir.exists()
    failing = ""
    host.remove(settings)
    assert not settings.state_dir.exists()


@pytest.mark.parametrize(
    ("answers", "fails"),
    [
        ({}, False),
        ({"benchmark-0001-a": "GroupIdNotFoundError"}, False),
        ({"benchmark-0001-b": "NonEmptyGroupError"}, True),
        ({"ray-ml-inference": "NonEmptyGroupError"}, False),  # of another pipeline
    ],
)
def test_a_group_that_the_broker_keeps_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, answers: dict[str, str], fails: bool
) -> None:
    monkeypatch.setattr(host, "KafkaAdminClient", type("Answering", (Admin,), {"answers": answers}))
    if fails:
        with pytest.raises(host.RemovalError, match="benchmark-0001-b"):
            host._remove_groups(settings)
    else:
        host._remove_groups(settings)
