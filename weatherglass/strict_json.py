"""A strict JSON decoder: what pydantic ignores in unknown fields, it rejects, like the parser of the features job."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from pydantic_core import PydanticCustomError

MAX_NUMBER_DIGITS = 4300
"""The limit of pydantic for integers; Java uses the same limit for all numbers."""
MAX_NAME_BYTES = 1000
"""Java caches all names that it has parsed, so their length is limited."""


def _check_names(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise PydanticCustomError("repeated_name", "an object has two members with the same name")
    if any(len(name.encode()) > MAX_NAME_BYTES for name, _ in pairs):
        raise PydanticCustomError("long_name", "a name has more than {maximum} bytes", {"maximum": MAX_NAME_BYTES})


def _reject_constant(text: str) -> NoReturn:
    raise PydanticCustomError("no_number", "{text} is not a number", {"text": text})


def _check_length(number: str) -> None:
    if len(number) > MAX_NUMBER_DIGITS and sum(map(str.isdigit, number)) > MAX_NUMBER_DIGITS:
        raise PydanticCustomError("long_number", "a number has too many digits")


STRICT_DECODER = json.JSONDecoder(
    object_pairs_hook=_check_names, parse_constant=_reject_constant, parse_float=_check_length
)
"""A constant, because creating it takes longer than parsing an observation."""
