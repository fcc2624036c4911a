"""Every topic and group that a component addresses has the prefix of the settings."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from weatherglass import topics as module
from weatherglass.settings import PROJECT_ROOT, SettingsError, load_settings
from weatherglass.topics import GROUPS, TOPICS, Topics

PACKAGES = ("weatherglass", "producer", "spark_jobs", "ray_jobs", "plugins", "dags", "benchmarks")
NAMES = {topic.name for topic in TOPICS} | set(GROUPS)
CONSTANTS = {name for name, value in vars(module).items() if value in (*NAMES, TOPICS, GROUPS) and name.isupper()}
NOT_ADDRESSES = {
    "weatherglass/topics.py": "defines them",
    "weatherglass/sink/sink.py": "keys of its tables, which it looks up with `Topics.role`",
    "weatherglass/alerts/rules.py": "labels of metrics",
    "spark_jobs/checkpoint_migration.py": "the topic of migrations by older versions, which had no prefix",
    "plugins/assets.py": "names of Airflow's assets",
}
"""Modules that use names without a prefix, and for what."""


def bare_names(source: str) -> Iterator[int]:
    """The lines of a module that import, read or contain the name of a topic or group without the prefix."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "weatherglass.topics":
            found = any(alias.name in CONSTANTS or alias.name == "*" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "topics":
            found = node.attr in CONSTANTS
        else:
            found = isinstance(node, ast.Constant) and node.value in NAMES
        if found:
            yield node.lineno


def test_no_module_addresses_a_topic_without_the_prefix() -> None:
    files = [file for package in PACKAGES for file in (PROJECT_ROOT / package).rglob("*.py")]
    found = {
        file.relative_to(PROJECT_ROOT).as_posix(): lines
        for file in files
        if (lines := list(bare_names(file.read_text(encoding="utf-8"))))
    }
    assert found.keys() == NOT_ADDRESSES.keys()


@pytest.mark.parametrize(
    "source",
    [
        "from weatherglass.topics import RAW",
        "from weatherglass.topics import MAX_REJECTED_KEY_BYTES, TOPICS as table",
        "from weatherglass import topics\nsend(topics.HOURS)",
        "reader.option('subscribe', 'weather-raw')",
        "KafkaConsumer(group_id='dashboard-consumers')",
    ],
)
def test_a_name_without_the_prefix_is_found(source: str) -> None:
    assert list(bare_names(source))


def test_no_other_file_contains_a_topic_name() -> None:
    """Java, shell, and Compose files take the names from Python; comments in back quotes do not count."""
    suffixes = {".java", ".yml", ".sh", ".js", ""}
    folders = ("spark_jobs/java", "docker", "weatherglass/api/dashboard/static")
    for file in (file for folder in folders for file in (PROJECT_ROOT / folder).rglob("*")):
        if file.is_file() and file.suffix in suffixes and "monitoring" not in file.parts and "target" not in file.parts:
            text = file.read_text(encoding="utf-8")
            assert not [name for name in NAMES if f'"{name}"' in text or f"'{name}'" in text], file


def test_all_names_have_the_prefix_and_differ() -> None:
    topics = Topics("trial-")
    single = [
        *(topics.raw, topics.features, topics.hours, topics.predictions, topics.shadow, topics.guidance),
        topics.rejected,
    ]
    groups = [topics.spark_group, topics.inference_group, topics.store_group]
    assert [topic.name for topic in topics.table] == single
    assert list(topics.groups) == groups
    assert {name for names in topics.groups.values() for name in names} <= set(single)
    assert {topics.role(name) for name in single + groups} == NAMES
    assert all(name.startswith("trial-") for name in single + groups)
    assert [(t.partitions, t.broker_config) for t in topics.table] == [(t.partitions, t.broker_config) for t in TOPICS]


def test_the_setting_accepts_only_what_kafka_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_TOPIC_PREFIX", "trial-")
    assert load_settings().topics.raw == "trial-weather-raw"
    for invalid in ("a b", "ä", "-a", "a" * 51, "a/b"):
        monkeypatch.setenv("WEATHERGLASS_TOPIC_PREFIX", invalid)
        with pytest.raises(SettingsError):
            load_settings()
