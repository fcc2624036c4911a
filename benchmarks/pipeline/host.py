"""The process that hosts the jobs of an isolated pipeline, and removes the pipeline when it is no longer needed.

    python -m benchmarks.pipeline.host

Started by `isolated`, with the settings of the isolated pipeline in its environment. It ends when its standard input
ends, which also happens when the process that started it is killed. Then it ends the jobs and removes everything that
has the prefix: actors, topics, consumer groups, and the state folder with the store.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kafka.admin import KafkaAdminClient
from kafka.errors import GroupIdNotFoundError

from weatherglass.jobs.host import HostAlreadyRunningError, HostTimeouts, JobHost
from weatherglass.kafka_connection import client_options
from weatherglass.launcher.stopping import job_folders
from weatherglass.net import connection_error
from weatherglass.settings import Settings, load_settings
from weatherglass.waiting import wait_until

log = logging.getLogger("benchmarks.pipeline.host")

REQUESTED_BY = "the end of the benchmark"
TIMEOUTS = HostTimeouts(before_term=10.0, before_kill=5.0)
STOP_SECONDS = 60.0
"""Longer than the host's timeouts."""
BROKER_MS = 15_000


class NotIsolatedError(RuntimeError):
    """The settings have no prefix: removing them would remove the serving pipeline."""


class RemovalError(RuntimeError):
    """A part of an isolated pipeline could not be removed."""


def remove(settings: Settings) -> None:
    """End and remove an isolated pipeline; a job host must be running. Can be repeated after a failure.

    Raises:
        NotIsolatedError: there is no prefix.
        RemovalError: at least one step failed, for example because the broker does not respond. The other steps were
            taken; the state folder is kept, so that the next run removes the rest.
        OSError: only the state folder could not be removed.
    """
    if not settings.topic_prefix:
        raise NotIsolatedError("only a pipeline with a topic prefix is removed")
    errors = []
    for step in (_end_jobs, _end_actors, _remove_topics, _remove_groups):
        try:
            step(settings)
        except Exception as error:  # the other steps do not depend on it
            errors.append(f"{step.__name__.strip('_')}: {error!r}")
    if errors:
        raise RemovalError("; ".join(errors))
    shutil.rmtree(settings.state_dir)


def _end_jobs(settings: Settings) -> None:
    folders = job_folders(settings)
    for folder in folders:
        folder.start.unlink(missing_ok=True)
        if folder.alive():
            folder.request_stop(REQUESTED_BY)
    if not wait_until(lambda: not any(folder.alive() for folder in folders), STOP_SECONDS):
        raise RemovalError(f"still alive: {', '.join(folder.name for folder in folders if folder.alive())}")


def _end_actors(settings: Settings) -> None:
    """End actors that their supervisor has not drained, because it was killed."""
    if connection_error(settings.ray_head):
        return  # the actors ended with the head
    import ray
    from ray.util import list_named_actors

    from ray_jobs.serve_predictions import namespace

    ray.init(address=settings.ray_head, namespace=namespace(settings), log_to_driver=False)
    try:
        for name in list_named_actors():
            log.info("Ending actor %s", name)
            with suppress(ValueError):  # it has ended since
                ray.kill(ray.get_actor(name))
    finally:
        ray.shutdown()


@contextmanager
def _admin_client(settings: Settings) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(**client_options(settings), request_timeout_ms=BROKER_MS, bootstrap_timeout_ms=BROKER_MS)
    try:
        yield client
    finally:
        client.close()


def _remove_topics(settings: Settings) -> None:
    with _admin_client(settings) as admin:
        if topics := [topic for topic in admin.list_topics() if topic.startswith(settings.topic_prefix)]:
            admin.delete_topics(topics)


def _remove_groups(settings: Settings) -> None:
    with _admin_client(settings) as admin:
        groups = [group["group_id"] for group in admin.list_groups()]
        groups = [group for group in groups if group.startswith(settings.topic_prefix)]
        results = admin.delete_groups(groups) if groups else {}  # group -> "OK" or the name of an error
    gone = ("OK", GroupIdNotFoundError.__name__)
    if refused := {group: result for group, result in results.items() if result not in gone}:
        raise RemovalError(f"groups that the broker did not delete: {refused}")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    settings = load_settings()
    try:
        host = JobHost(settings.jobs_dir, TIMEOUTS)
    except HostAlreadyRunningError as error:
        log.error("%s", error)
        return 1
    ending = threading.Event()
    thread = threading.Thread(target=host.run, args=(ending,), daemon=True)
    thread.start()
    while os.read(sys.stdin.fileno(), 1024):
        pass
    try:
        remove(settings)
    except (OSError, RuntimeError) as error:
        log.error("Not everything was removed: %r", error)
        return 1
    finally:
        ending.set()
        thread.join(5)
    log.info("Removed %s", settings.topic_prefix)
    return 0


if __name__ == "__main__":
    sys.exit(main())
