from __future__ import annotations

import pytest

from ray_jobs.inference.placement import next_move


def spread(places: dict[str, str], nodes: set[str]) -> dict[str, str]:
    """Actor -> node after all moves."""
    for _ in range(len(places) + 1):
        move = next_move(places, nodes)
        if move is None:
            return places
        places = places | dict([move])
    pytest.fail(f"actors keep moving: {places}")


def test_actors_on_one_node_spread_to_one_per_node() -> None:
    actors = dict.fromkeys(("a", "b", "c", "d"), "first")
    assert sorted(spread(actors, {"first", "second", "third", "fourth"}).values()) == [
        *("first", "fourth", "second", "third")
    ]


def test_only_an_actor_that_shares_its_node_moves() -> None:
    places = {"a": "first", "b": "first", "c": "second"}
    assert next_move(places, {"first", "second", "third"}) == ("b", "third")
    assert next_move(places, {"first", "second", "third", "fourth"}) == ("b", "fourth"), "the first by name"


@pytest.mark.parametrize("nodes", [{"first"}, {"first", "second"}, set()])
def test_without_an_idle_node_no_actor_moves(nodes: set[str]) -> None:
    assert next_move({"a": "first", "b": "first", "c": "second"}, nodes) is None


def test_an_idle_node_stays_idle_when_no_node_is_shared() -> None:
    assert next_move({"a": "first", "b": "second"}, {"first", "second", "third"}) is None
