"""The rules as Prometheus' rule file, and Alertmanager's configuration: which alert keeps which quiet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from weatherglass.alerts.conditions import Latest, duration
from weatherglass.alerts.rule_evaluator import subject_of
from weatherglass.alerts.rules import BY_NAME, DURATION, LOOK_SECONDS, RULES, Rule

DOCS = "docs/troubleshooting.md"


def runbook(rule: str) -> str:
    """Page and section with the entry of a rule of this name."""
    return f"{DOCS}#{rule.replace('_', '-')}"


GONE = "watcher_gone"
MADE = "# Made by `make reference` from weatherglass/alerts/rules.py; edit there."
_WATCHER = f"""\
      - alert: "{GONE}"
        expr: "absent(weatherglass_watch_look_seconds)"
        for: "1m"
        labels: {{"severity": "critical"}}
        annotations:
          summary: "The watcher does not run, or the API's /metrics cannot be scraped: nothing else is watched."
          runbook: "{runbook(GONE)}"
"""
_ALERTMANAGER = f"""\
{MADE}
# Where alerts go: here nowhere but to Alertmanager's own page. Copy this file, add `webhook_configs` or `email_configs`
# to the receiver, and name the copy in ALERTMANAGER_CONFIG.
route:
  receiver: everybody
  group_by: [alertname]
  group_wait: 15s
  repeat_interval: 12h

receivers:
  - name: everybody

# While an alert that explains others is on, these are not sent.
inhibit_rules:
"""


def rule_file(rules: Sequence[Rule] = RULES) -> str:
    """YAML for Prometheus' `rule_files`, from version 2.42 on (`keep_firing_for`).

    The watcher itself is watched by one rule more, which only somebody outside can evaluate.
    """
    head = f"{MADE}\ngroups:\n  - name: weatherglass\n    interval: {LOOK_SECONDS:g}s\n    rules:\n"
    return head + "".join(_alert(rule) for rule in rules) + _WATCHER


def alertmanager_file(rules: Sequence[Rule] = RULES) -> str:
    """YAML for Alertmanager, from version 0.22 on (`source_matchers`)."""
    return _ALERTMANAGER + "".join(f"  - {json.dumps(inhibition)}\n" for inhibition in inhibitions(rules))


def expression(rule: Rule) -> str:
    """Beyond the limit, or already firing and not yet back behind the lower one."""
    sign = ">" if rule.above else "<"
    value = rule.condition.promql()
    if not isinstance(rule.condition, Latest):
        value = f"({value})"
    fires = f"{value} {sign} {rule.limit:g}"
    if rule.clears == rule.limit:
        return fires
    firing = f'ALERTS{{alertname="{rule.name}",alertstate="firing"}}'
    return f"{fires} or ({value} {sign} {rule.clears:g} and on({', '.join(rule.condition.labels)}) {firing})"


def inhibitions(rules: Sequence[Rule] = RULES) -> Iterator[dict[str, object]]:
    """Alertmanager's `inhibit_rules`: a reason keeps what it explains from being sent."""
    for rule in rules:
        for name in rule.because_of:
            labels = rule.condition.labels
            same = list(labels) if labels and BY_NAME[name].condition.labels == labels else []
            yield {
                "source_matchers": [f'alertname="{name}"'],
                "target_matchers": [f'alertname="{rule.name}"'],
                **({"equal": same} if same else {}),
            }


def _alert(rule: Rule) -> str:
    subject = subject_of(tuple(f"{{{{ $labels.{label} }}}}" for label in rule.condition.labels))
    fields = {
        "summary": rule.words.format(subject=subject, value=_template(rule.value)),
        "means": rule.means,
        "still_works": rule.still_works,
        "to_do": rule.to_do,
        "runbook": runbook(rule.name),
    }
    lines = [
        f"      - alert: {json.dumps(rule.name)}",
        f"        expr: {json.dumps(expression(rule))}",
        f"        for: {json.dumps(duration(rule.lasting))}",
        f"        keep_firing_for: {json.dumps(duration(rule.well_for))}",
        f"        labels: {json.dumps({'severity': rule.severity.value})}",
        "        annotations:",
        *(f"          {name}: {json.dumps(text, ensure_ascii=False)}" for name, text in fields.items()),
    ]
    return "\n".join(lines) + "\n"


def _template(value: str) -> str:
    """How the value is written, as a template of Prometheus'."""
    if value == DURATION:
        return "{{ $value | humanizeDuration }}"
    found = re.fullmatch(r"\{:\.(\d)([f%])\}", value)
    if found is None:
        raise ValueError(f"no template for the format {value!r}")
    if found[2] == "%":
        return "{{ $value | humanizePercentage }}"
    return f'{{{{ $value | printf "%.{found[1]}f" }}}}'
