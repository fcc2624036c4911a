"""Validation of LightGBM texts: models that LightGBM trains pass, texts that could crash or stall it do not."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from weatherglass.forecast.lightgbm_import import lightgbm
from weatherglass.registry.lightgbm_text import InvalidTrees, validate

FEATURES = ("kind", "a", "b", "c")
OBJECTIVE = "binary sigmoid:1"
MUTANTS = 3000
LOAD_AND_PREDICT = """
import sys
from pathlib import Path
import numpy as np
from weatherglass.forecast.lightgbm_import import lightgbm
rows = np.load(sys.argv[1])
for path in sorted(Path(sys.argv[2]).glob("*.txt")):
    print(path.name, flush=True)
    values = lightgbm.Booster(model_str=path.read_text()).predict(rows, num_threads=1)
    assert values.shape == (len(rows),) and np.isfinite(values).all(), path
"""


def rows(count: int) -> np.ndarray:
    """Inputs with categories, a column with missing values, and two columns of numbers."""
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(count, len(FEATURES)))
    inputs[:, 0] = rng.integers(0, 40, count)
    inputs[rng.random(count) < 0.3, 1] = np.nan
    return inputs


@pytest.fixture(scope="module")
def trained() -> lightgbm.Booster:
    """Trees with numeric splits, splits of missing values, and splits by category with several words."""
    inputs = rows(2000)
    faulty = np.isnan(inputs[:, 1]) | ((inputs[:, 0] % 3 == 0) & (inputs[:, 2] > 0.3))
    data = lightgbm.Dataset(inputs, faulty, feature_name=list(FEATURES), categorical_feature=["kind"])
    params = {"objective": "binary", "num_leaves": 9, "min_data_per_group": 5, "feature_fraction": 0.5, "seed": 2}
    return lightgbm.train({**params, "verbosity": -1, "num_threads": 1}, data, num_boost_round=8)


@pytest.fixture(scope="module")
def text(trained: lightgbm.Booster) -> str:
    written = trained.model_to_string()
    assert "num_cat=0\n" in written
    assert re.search(r"num_cat=[1-9]", written)
    assert re.search(r"threshold=.*\binf\b", written)
    return written


def test_a_trained_model_gives_the_same_predictions_from_the_validated_text(
    trained: lightgbm.Booster, text: str
) -> None:
    loaded = lightgbm.Booster(model_str=validate(text.encode(), FEATURES, OBJECTIVE))
    inputs = rows(500)
    np.testing.assert_array_equal(loaded.predict(inputs), trained.predict(inputs))


def test_a_tree_of_one_leaf_is_valid() -> None:
    data = lightgbm.Dataset(rows(200), np.full(200, 7.5), feature_name=list(FEATURES))
    constant = lightgbm.train({"objective": "regression", "verbosity": -1}, data, num_boost_round=3)
    loaded = lightgbm.Booster(model_str=validate(constant.model_to_string().encode(), FEATURES, "regression"))
    assert loaded.predict(rows(3)).tolist() == [7.5, 7.5, 7.5]


@pytest.mark.parametrize("objective", ["regression", "binary sigmoid:2", "binary"])
def test_another_objective_is_rejected(text: str, objective: str) -> None:
    with pytest.raises(InvalidTrees):
        validate(text.encode(), FEATURES, objective)


@pytest.mark.parametrize("features", [FEATURES[:-1], (*FEATURES, "d"), ("kind", "b", "a", "c")])
def test_other_features_are_rejected(text: str, features: tuple[str, ...]) -> None:
    with pytest.raises(InvalidTrees):
        validate(text.encode(), features, OBJECTIVE)


def with_matching_sizes(text: str) -> str:
    """The text with the sizes of its trees in the header, so that a change of a tree is not found by its size."""
    begin, end = text.index("\nTree=") + 1, text.index("end of trees")
    trees = re.split(r"(?=^Tree=)", text[begin:end], flags=re.MULTILINE)[1:]
    return re.sub(r"tree_sizes=.*", "tree_sizes=" + " ".join(str(len(tree)) for tree in trees), text, count=1)


def change(name: str, edit: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    """A function that edits the values of the first line `name=`."""

    def edit_text(text: str) -> str:
        def edit_line(found: re.Match[str]) -> str:
            return f"\n{name}={' '.join(edit(found[1].split(' ')))}\n"

        changed, count = re.subn(rf"\n{name}=(.*)\n", edit_line, text, count=1)
        assert count == 1
        return changed

    return edit_text


def first(value: object) -> Callable[[list[str]], list[str]]:
    return lambda values: [str(value), *values[1:]]


def of_category_tree(edit: Callable[[str], str]) -> Callable[[str], str]:
    """Apply an edit to the first tree with sets of categories."""

    def edit_text(text: str) -> str:
        begin = re.search(r"\nnum_leaves=\d+\nnum_cat=[1-9]", text)
        assert begin
        return text[: begin.start()] + edit(text[begin.start() :])

    return edit_text


def detach_cycle(text: str) -> str:
    """Let the last node of the first tree be its own child, and its parent have the leaf instead."""
    children = {name: re.search(rf"\n{name}=(.*)\n", text) for name in ("left_child", "right_child")}
    left, right = (found[1].split(" ") for found in children.values() if found)
    own = len(left) - 1
    leaf = left[own]
    assert leaf.startswith("-")
    swap = {str(own): leaf, leaf: str(own)}
    for name, values in (("left_child", left), ("right_child", right)):
        text = change(name, lambda _, values=values: [swap.get(value, value) for value in values])(text)
    return text


STRUCTURAL = {
    "a cycle apart from the root": detach_cycle,
    "a feature above the last": change("split_feature", first(len(FEATURES))),
    "a negative feature": change("split_feature", first(-1)),
    "the root as its own child": change("left_child", first(0)),
    "a cycle": change("left_child", lambda values: [*values[:-1], "1"]),
    "a node that does not exist": change("left_child", first(100_000_000)),
    "a leaf that does not exist": change("right_child", first(-100_000_000)),
    "a child of two nodes": change("right_child", lambda values: [values[1], *values[1:]]),
    "fewer leaves": change("num_leaves", first(3)),
    "more leaves than values": change("num_leaves", first(100_000)),
    "no leaves": change("num_leaves", first(0)),
    "a negative number of leaves": change("num_leaves", first(-1)),
    "a huge number of leaves": change("num_leaves", first(2_000_000_000)),
    "a short array": change("leaf_value", lambda values: values[:-1]),
    "a short array that predictions do not use": change("internal_count", lambda values: values[:-1]),
    "a leaf that is not a number": change("leaf_value", first("nan")),
    "an infinite leaf": change("leaf_value", first("inf")),
    "a leaf that overflows": change("leaf_value", first("1e999")),
    "a leaf above the limit": change("leaf_value", first("1e7")),
    "a threshold that is not a number": change("threshold", first("nan")),
    "a linear tree": change("is_linear", first(1)),
    "a category split without categories": change("decision_type", first(1)),
    "an unknown type of decision": change("decision_type", first(12)),
    "more sets of categories": of_category_tree(change("num_cat", first(100))),
    "a set that does not exist": of_category_tree(change("cat_boundaries", lambda values: [*values[:-1], "2000000"])),
    "a set without words": of_category_tree(change("cat_boundaries", lambda values: ["0", "0", *values[2:]])),
    "a word of more than 32 bits": of_category_tree(change("cat_threshold", first(1 << 32))),
    "another number of features": change("max_feature_idx", first(5)),
    "a huge number of features": change("max_feature_idx", first(1_000_000_000)),
    "several outputs": change("num_tree_per_iteration", first(2)),
    "several classes": change("num_class", first(1_000_000_000)),
    "averaged output": lambda text: text.replace("\nobjective=", "\naverage_output\nobjective="),
    "another version": change("version", first("v3")),
    "too few feature ranges": change("feature_infos", lambda values: values[:-1]),
    "trees in another order": change("Tree", first(1)),
}
SIZES = {
    "a size above the file's": change("tree_sizes", first(99_999_999)),
    "a huge size": change("tree_sizes", first(10**15)),
    "a negative size": change("tree_sizes", first(-1000)),
    "fewer sizes than trees": change("tree_sizes", lambda values: values[:-1]),
    "more sizes than trees": change("tree_sizes", lambda values: [*values, "100"]),
    "no sizes": lambda text: re.sub(r"tree_sizes=.*\n", "", text),
    "a truncated file": lambda text: text[: text.index("end of trees") - 10],
    "other characters": lambda text: text.replace("Tree=1", "Tree=１"),
    "an empty file": lambda _: "",
}


@pytest.mark.parametrize("edit", [*STRUCTURAL.values(), *SIZES.values()], ids=[*STRUCTURAL, *SIZES])
def test_a_structural_change_is_rejected(text: str, edit: Callable[[str], str]) -> None:
    changed = edit(text)
    assert changed != text
    with pytest.raises(InvalidTrees):
        validate(
            (with_matching_sizes(changed) if edit in STRUCTURAL.values() else changed).encode(), FEATURES, OBJECTIVE
        )


VALUES = ("0", "1", "-1", "2", "-2", "7", "9", "63", "-9", "4294967295", "-2147483648", "nan", "inf", "1e308", "", "x")


def mutate(text: str, rng: random.Random) -> str:
    """One to three random changes of tokens, lines or characters; most keep the sizes in the header right."""
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        number = rng.randrange(lines.index("end of trees") if "end of trees" in lines else len(lines))
        match rng.randrange(6):
            case 0 | 1 | 2:
                name, equals, values = lines[number].partition("=")
                tokens = values.split(" ")
                tokens[rng.randrange(len(tokens))] = rng.choice([*VALUES, *tokens])
                lines[number] = name + equals + " ".join(tokens)
            case 3:
                tokens = lines[number].split(" ")
                del tokens[rng.randrange(len(tokens))]
                lines[number] = " ".join(tokens)
            case 4:
                other = rng.randrange(len(lines))
                lines[number], lines[other] = lines[other], lines[number]
            case 5:
                line = lines[number]
                at = rng.randrange(len(line) + 1)
                lines[number] = line[:at] + rng.choice("0123456789-=. e\n\x00") + line[at + rng.randrange(2) :]
        text = "\n".join(lines)
    if rng.random() < 0.9 and "\nTree=" in text and "end of trees" in text:
        text = with_matching_sizes(text)
    return text


def test_mutated_texts_are_rejected_or_predict_finite_values(text: str, tmp_path: Path) -> None:
    rng, accepted = random.Random(17), tmp_path / "accepted"
    accepted.mkdir()
    for number in range(MUTANTS):
        mutant = mutate(text, rng)
        try:
            valid = validate(mutant.encode(), FEATURES, OBJECTIVE)
        except InvalidTrees:
            continue
        (accepted / f"{number:05d}.txt").write_text(valid)
    count = len(list(accepted.iterdir()))
    assert 0 < count < MUTANTS
    np.save(tmp_path / "rows.npy", rows(200))
    command = [sys.executable, "-c", LOAD_AND_PREDICT, tmp_path / "rows.npy", accepted]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, (finished.stdout.splitlines()[-1:], finished.stderr)
    assert len([line for line in finished.stdout.splitlines() if line.endswith(".txt")]) == count
