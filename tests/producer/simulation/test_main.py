"""The long-lived job that publishes simulated observations."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from producer import publish
from producer.simulation import __main__ as module
from producer.simulation import simulator
from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker, free_ports, make_settings
from tests.producer.topic_reader import reading
from tests.waiting import until
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.settings import Source


@pytest.fixture
def job(tmp_path: Path) -> Job:
    folder = tmp_path / "job"
    folder.mkdir()
    return Job(JobFolder(folder))


@pytest.mark.integration
def test_the_job_publishes_until_it_is_stopped(
    job: Job, broker: TestBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator, "REPORT_SECONDS", 0.2)
    bootstrap_topics(broker.settings, log=lambda _: None)
    settings = make_settings(tmp_path / "state", kafka_bootstrap=broker.bootstrap_servers, source=Source.SIMULATE)
    settings.state_dir.mkdir()
    with reading(broker.bootstrap_servers) as reader:
        running = threading.Thread(target=module.run, args=(settings, job))
        running.start()
        until("twenty observations", lambda: reader.count() >= 20)
        until("a report", lambda: (job.folder.last_progress() or {}).get("published"))
        job.folder.stop.touch()
        running.join(60)
        assert not running.is_alive()
        assert len({(record.key, record.value) for record in reader.records()}) == reader.count()
    position = simulator.read_position(job.folder.path / "position.json")
    assert position is not None
    assert position.number >= 20


def test_the_job_survives_a_broker_that_does_not_respond(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "ACKNOWLEDGEMENT_TIMEOUT_SECONDS", 1.0)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    settings = make_settings(tmp_path / "state", kafka_bootstrap=address, source=Source.SIMULATE)
    settings.state_dir.mkdir()
    running = threading.Thread(target=module.run, args=(settings, job))
    running.start()
    until("a failure", lambda: address in (job.folder.last_progress() or {}).get("message", ""))
    assert running.is_alive()
    job.folder.stop.touch()
    running.join(60)
    assert not running.is_alive()
