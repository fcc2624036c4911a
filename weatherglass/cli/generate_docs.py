"""What is made from the code: pages of docs/, Prometheus' rules. `make reference` writes it, a test holds it to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weatherglass.alerts.prometheus_rules import RUNBOOK_PAGE, alertmanager_file, rule_file
from weatherglass.alerts.runbook_page import replace_entries
from weatherglass.records import RECORDS, json_schema
from weatherglass.settings import PROJECT_ROOT, Settings, variable

DOCS = PROJECT_ROOT / "docs"
MONITORING = PROJECT_ROOT / "docker" / "monitoring"

_CONFIGURATION = """\
# Configuration

Every port, path and rate is an environment variable. Nothing needs to be set: the defaults run everything on one
machine, on loopback except [Ray](../README.md#who-can-reach-it), with all state in one folder. A value that cannot be
used is refused at the start with its name and what is allowed; a `WEATHERGLASS_` variable that is no setting is refused
too, with the nearest name.

    WEATHERGLASS_AIRFLOW_PORT=9088 WEATHERGLASS_POLL_MINUTES=2 make up

*This page is made from `weatherglass/settings.py` by `make reference`.*

| variable | default | allowed | what it does |
|---|---|---|---|
"""


def configuration() -> str:
    """The page of all settings, Markdown."""
    schema = Settings.model_json_schema()
    rows = []
    for name, field in Settings.model_fields.items():
        default = _default(field.default)
        rows.append(f"| `{variable(name)}` | {default} | {_allowed(name, schema)} | {field.description} |\n")
    return _CONFIGURATION + "".join(rows)


def pages() -> dict[Path, str]:
    """Each page by its path."""
    schemas = {DOCS / "schemas" / f"{name}.json": json.dumps(json_schema(name), indent=2) + "\n" for name in RECORDS}
    monitoring = {MONITORING / "alerts.yml": rule_file(), MONITORING / "alertmanager.yml": alertmanager_file()}
    runbook_page = PROJECT_ROOT / RUNBOOK_PAGE
    entries = {runbook_page: replace_entries(runbook_page.read_text(encoding="utf-8"))}
    return {DOCS / "configuration.md": configuration(), **entries, **monitoring, **schemas}


def _default(value: object) -> str:
    if isinstance(value, Path):
        return f"`{value.relative_to(PROJECT_ROOT)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in (None, "") else "none"


def _allowed(name: str, schema: dict[str, Any]) -> str:
    field = schema["properties"][name]
    field = next((kind for kind in field.get("anyOf", []) if kind.get("type") != "null"), field)
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
    kinds = {"file-path": "an existing file", "path": "a path", "uri": "a URL"}
    return kinds.get(field.get("format", ""), {"boolean": "`true`, `false`"}.get(field.get("type", ""), "text"))


def main() -> None:
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
