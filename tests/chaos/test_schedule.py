"""Properties of the schedule of faults."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.schedule import (
    END_SECONDS,
    KILL_WINDOW,
    MAX_KILLS,
    MEASURED_SECONDS,
    ONCE,
    PAUSE_SECONDS,
    SECONDS,
    START_SECONDS,
    Kind,
    rounds,
    schedule,
)

SEEDS, MINUTES = st.integers(0, 2**63), st.floats(0, 600)
NAMES = st.lists(st.text(max_size=5), max_size=5)
TARGETS = st.dictionaries(st.sampled_from(Kind), NAMES)
ALL = {kind: ["a", "b"] for kind in Kind}


@given(SEEDS, MINUTES, TARGETS)
def test_the_seed_determines_the_schedule(seed: int, minutes: float, targets: dict[Kind, list[str]]) -> None:
    names = list(targets.items())
    random.shuffle(names)
    shuffled = {kind: random.sample(some, len(some)) for kind, some in names}
    assert schedule(seed, minutes, targets) == schedule(seed, minutes, shuffled)


@given(SEEDS)
def test_another_seed_gives_another_schedule(seed: int) -> None:
    assert schedule(seed, 60, ALL) != schedule(seed + 1, 60, ALL)


@given(SEEDS, MINUTES, TARGETS)
def test_faults_have_pauses_and_known_targets(seed: int, minutes: float, targets: dict[Kind, list[str]]) -> None:
    faults = schedule(seed, minutes, targets)
    for fault in faults:
        assert fault.target in targets[fault.kind]
        assert START_SECONDS <= fault.start <= fault.end <= minutes * 60 - END_SECONDS + 0.2
        low, high = SECONDS.get(fault.kind, (0, 0))
        assert low <= fault.duration <= high
    for first, second in pairwise(faults):
        assert second.start - first.end >= PAUSE_SECONDS[0] - 0.2


@given(SEEDS)
def test_every_kind_and_every_target_occurs(seed: int) -> None:
    faults = schedule(seed, 90, ALL)
    for kind in Kind:
        found = {fault.target for fault in faults if fault.kind is kind}
        assert len(found) == (1 if kind in ONCE else 2), kind


@given(SEEDS)
def test_a_process_is_not_killed_too_often(seed: int) -> None:
    faults = schedule(seed, 240, {Kind.KILL: ["a", "a/b"], Kind.STOP: ["a"]})
    assert faults
    for fault in faults:
        assert sum(fault.start <= other.start < fault.start + KILL_WINDOW - 1 for other in faults) <= MAX_KILLS


@given(SEEDS)
def test_a_fault_that_cannot_be_undone_occurs_once(seed: int) -> None:
    assert len(schedule(seed, 60, {Kind.PARTITIONS: [""]})) == 1


@given(SEEDS)
def test_without_targets_or_time_there_are_no_faults(seed: int) -> None:
    assert schedule(seed, 30, {}) == []
    assert schedule(seed, 30, {Kind.KILL: []}) == []
    assert schedule(seed, (START_SECONDS + END_SECONDS) / 60 - 0.1, ALL) == []


@given(
    st.dictionaries(
        st.tuples(st.sampled_from([Kind.KILL, Kind.STOP]), st.sampled_from(["kafka", "ray", "ray/raylet", "job/a"])),
        st.integers(-1, 6),
        max_size=8,
    )
)
def test_rounds_have_each_fault_as_often_as_it_is_missing_one_after_the_other(
    missing: dict[tuple[Kind, str], int],
) -> None:
    faults = rounds(missing)
    found = Counter((fault.kind, fault.target) for fault in faults)
    assert found == {fault: count for fault, count in missing.items() if count > 0}
    for first, second in pairwise(faults):
        assert second.start - first.start >= MEASURED_SECONDS > first.duration
    for fault in faults:
        same = [one for one in faults if one.target.partition("/")[0] == fault.target.partition("/")[0]]
        assert sum(fault.start <= one.start < fault.start + KILL_WINDOW for one in same) <= MAX_KILLS
