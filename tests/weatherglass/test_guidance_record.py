"""The rules of a run of guidance."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from tests.weatherglass.store.samples import NOON, a_guidance
from weatherglass.guidance_record import GUIDANCE_VARIABLES, MAX_GUIDANCE_HOURS, Guidance
from weatherglass.record_schemas import json_schema


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    document = json.loads(a_guidance().to_json())
    change(document)
    return json.dumps(document)


def test_a_run_matches_its_schema_and_parses_to_the_same_run() -> None:
    run = a_guidance()
    assert Guidance.from_json(run.to_json()) == run
    jsonschema.validate(json.loads(run.to_json()), json_schema("guidance"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        *(
            (lambda d, name=name: d["values"].update({name: d["values"][name][:-1]}), "ragged")
            for name in GUIDANCE_VARIABLES
        ),
        (lambda d: d["values"]["valid_times"].reverse(), "valid_times"),
        (lambda d: d["values"]["valid_times"].__setitem__(1, d["values"]["valid_times"][0]), "valid_times"),
        (lambda d: d["values"]["valid_times"].__setitem__(0, "2026-01-05T11:30:00Z"), "no_full_hour"),
        (lambda d: [d["values"].update({name: [None] * 48}) for name in GUIDANCE_VARIABLES], "no_value"),
        (lambda d: d.update(run="2026-01-05T12:15:01Z"), "run"),
        (lambda d: d.update(model="../x"), "string_pattern_mismatch"),
        (lambda d: d.update(model="best_match\n"), "string_pattern_mismatch"),
        (lambda d: d.update(latitude=90.01), "less_than_equal"),
        (lambda d: d.update(run_time="issue"), "enum"),
        (lambda d: d.pop("simulated"), "missing"),
        (lambda d: d["values"]["temperature"].__setitem__(3, "3.2"), "float_type"),
    ],
)
def test_a_contradictory_run_is_rejected(change: Callable[[dict[str, Any]], object], code: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Guidance.from_json(edited(change))
    assert {error["type"] for error in raised.value.errors()} == {code}


def test_a_run_has_at_most_the_hours_of_the_longest_model() -> None:
    assert len(a_guidance(hours=MAX_GUIDANCE_HOURS, temperature=-20).values.valid_times) == MAX_GUIDANCE_HOURS
    with pytest.raises(ValidationError):
        a_guidance(hours=MAX_GUIDANCE_HOURS + 1, temperature=-20)


def test_a_run_may_be_received_after_its_time() -> None:
    run = a_guidance(run=NOON.replace(hour=6, minute=0), fetched_at=NOON)
    assert Guidance.from_json(run.to_json()) == run
