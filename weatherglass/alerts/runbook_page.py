"""Entries of the alert rules in the troubleshooting page, as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from weatherglass.alerts.rules import LOGS_SECTION, RULES, Rule

BEGIN = (
    "<!-- The entries up to the next comment are generated from weatherglass/alerts/rules.py by `make reference`. -->"
)
END = "<!-- End of the generated entries. -->"
_NAMES = {"airflow": "Airflow", "api": "API", "dag": "DAG", "ray": "Ray"}
"""Words in the names of rules that are not in lower case in a text."""


def replace_entries(page: str, rules: Sequence[Rule] = RULES) -> str:
    """The page with the text between the comments `BEGIN` and `END` replaced by the entries of the rules.

    Raises:
        ValueError: the page does not contain these comments.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError("the page does not contain the comments around the generated entries")
    return f"{head}{BEGIN}\n\n{''.join(map(_entry, rules))}{END}{tail}"


def _entry(rule: Rule) -> str:
    condition = f"*{rule.severity.value.capitalize()}: {rule.fires_when}.*"
    paragraphs = [
        f"{condition} {rule.impact} Unaffected: {_lower_first(rule.unaffected)}",
        rule.runbook.replace(f"({LOGS_SECTION})", "([Logs](#logs))"),
    ]
    if rule.inhibited_by:
        links = ", ".join(f"[{_words(name)}](#{name.replace('_', '-')})" for name in rule.inhibited_by)
        paragraphs.append(f"Not sent while one of these alerts is firing: {links}.")
    wrapped = (textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False) for text in paragraphs)
    return "\n\n".join([f"### {_title(rule.name)}", *wrapped]) + "\n\n"


def _title(name: str) -> str:
    words = _words(name)
    return words[0].upper() + words[1:]


def _words(name: str) -> str:
    return " ".join(_NAMES.get(word, word) for word in name.split("_"))


def _lower_first(text: str) -> str:
    """The text with a lower-case first letter, unless it begins with a name."""
    first = text.split()[0]
    return text if first in ("Kafka", "Airflow", "Ray") else text[0].lower() + text[1:]
