"""Messages for invalid and unknown settings, with the environment variable and the way out."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

PREFIX = "WEATHERGLASS_"


class SettingsError(ValueError):
    """A setting has an invalid value or an unknown name; the message contains the variable and the allowed values."""


def variable(field: str) -> str:
    """The environment variable of a field: `WEATHERGLASS_KAFKA_PORT` for `kafka_port`."""
    return f"{PREFIX}{field.upper()}"


def invalid_values(error: ValidationError) -> str:
    """A line for each invalid value."""
    return "\n".join(_message(problem) for problem in error.errors())


def unknown_variables(fields: Iterable[str]) -> list[str]:
    """A message for each variable of the environment that belongs to none of the fields."""
    known = [variable(name) for name in fields]
    messages = []
    for name in os.environ:
        if not name.startswith(PREFIX) or name in known:
            continue
        similar = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {similar[0]}?" if similar else "; docs/configuration.md lists all settings"
        messages.append(f"{name} is not a setting of Weatherglass{hint}")
    return messages


def _message(problem: ErrorDetails) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = variable(str(problem["loc"][0]))
    return f"{name}={problem['input']!r} is invalid: {problem['msg']}"
