"""Generates files from the code: pages of docs/, alert rules. `make reference` writes them, a test compares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weatherglass.alerts.prometheus_rules import RUNBOOK_PAGE, alertmanager_file, rule_file
from weatherglass.alerts.runbook_page import replace_entries
from weatherglass.kafka_settings import KafkaSettings
from weatherglass.record_schemas import RECORDS, json_schema
from weatherglass.settings import BASE_DIR, PROJECT_ROOT, Settings
from weatherglass.settings_errors import variable

DOCS = PROJECT_ROOT / "docs"
MONITORING = PROJECT_ROOT / "docker" / "monitoring"

_CONFIGURATION = """\
# Configuration

Settings are environment variables. All have defaults, which run everything on one machine, on loopback except
[Ray](../README.md#network-access), with all state in one folder. An invalid value or an unknown `WEATHERGLASS_`
variable ends the start with a message that names the variable and the allowed values.

The default folders are in the checkout; an installed package uses the current folder.

    WEATHERGLASS_AIRFLOW_PORT=9088 WEATHERGLASS_POLL_MINUTES=2 make up

*This page is generated from `weatherglass/settings.py` by `make reference`.*

| Variable | Default | Allowed values | Description |
|---|---|---|---|
"""


def configuration() -> str:
    """The page of all settings, in Markdown."""
    schema = Settings.model_json_schema()
    rows = []
    fields = sorted(Settings.model_fields.items(), key=lambda field: field[0] in KafkaSettings.model_fields)
    for name, field in fields:  # those of an existing Kafka last
        default = _default(field.default)
        rows.append(f"| `{variable(name)}` | {default} | {_allowed(name, schema)} | {field.description} |\n")
    return _CONFIGURATION + "".join(rows)


def pages() -> dict[Path, str]:
    """The content of each generated file by its path."""
    schemas = {DOCS / "schemas" / f"{name}.json": json.dumps(json_schema(name), indent=2) + "\n" for name in RECORDS}
    monitoring = {MONITORING / "alerts.yml": rule_file(), MONITORING / "alertmanager.yml": alertmanager_file()}
    runbook_page = PROJECT_ROOT / RUNBOOK_PAGE
    entries = {runbook_page: replace_entries(runbook_page.read_text(encoding="utf-8"))}
    return {DOCS / "configuration.md": configuration(), **entries, **monitoring, **schemas}


def _default(value: object) -> str:
    if isinstance(value, Path):
        return f"`{value.relative_to(BASE_DIR)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in (None, "") else "none"


def _allowed(name: str, schema: dict[str, Any]) -> str:
    field = schema["properties"][name]
    field = next((option for option in field.get("anyOf", []) if option.get("type") != "null"), field)
    if reference := field.get("$ref") or (field.get("allOf") or [{}])[0].get("$ref"):
        field = schema["$defs"][reference.rpartition("/")[2]]
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    low, high = field.get("minimum"), field.get("maximum")
    if (above := field.get("exclusiveMinimum")) is not None:
        return f"above {above:g}" + (f", up to {high:g}" if high is not None else "")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}" if high < 10_000 else f"{low:.0f} to {high:.0f}"
    if low is not None:
        return f"at least {low:g}"
    formats = {"file-path": "an existing file", "path": "a path", "uri": "a URL"}
    return formats.get(field.get("format", ""), {"boolean": "`true`, `false`"}.get(field.get("type", ""), "text"))


def main() -> None:
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
