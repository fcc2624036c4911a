"""The moves that spread the actors."""

from __future__ import annotations

import pytest

from ray_jobs.inference.placement import next_move


def spread(places: dict[str, str], nodes: set[str]) -> dict[str, str]:
    """Where the actors are once nothing moves any more."""
    for _ in range(len(places) + 1):
        step = next_move(places, nodes)
        if step is None:
            return places
        places = places | dict([step])
    pytest.fail(f"no end of moves: {places}")


def test_from_the_first_node_that_came_back_to_one_each() -> None:
    actors = dict.fromkeys(("a", "b", "c", "d"), "first")
    assert sorted(spread(actors, {"first", "second", "third", "fourth"}).values()) == [
        *("first", "fourth", "second", "third")
    ]


def test_only_who_shares_a_node_moves() -> None:
    places = {"a": "first", "b": "first", "c": "second"}
    assert next_move(places, {"first", "second", "third"}) == ("b", "third")


@pytest.mark.parametrize("nodes", [{"first"}, {"first", "second"}, set()])
def test_without_an_idle_node_nobody_moves(nodes: set[str]) -> None:
    assert next_move({"a": "first", "b": "first", "c": "second"}, nodes) is None


def test_an_idle_node_stays_idle_when_each_has_its_own() -> None:
    assert next_move({"a": "first", "b": "second"}, {"first", "second", "third"}) is None
