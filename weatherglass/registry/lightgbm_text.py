"""Validation of LightGBM's model text, version v4, before LightGBM reads it.

LightGBM does not check the text: an index out of range reads foreign memory, a cycle never ends, and any size is
allocated. Accepted is only what LightGBM 4.7 writes for the models of this project: one output, constant leaves,
trees whose nodes are numbered in the order of the splits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

MAX_BYTES = 32 << 20
"""Maximum size of a text that callers read. The largest models of this project have about 2 MB; the size also limits
the time of a prediction, which visits each node at most once."""
MAX_LEAF_VALUE = 1e6
"""Larger than any value in the units of the variables; keeps the sum over the trees finite."""

_END = "end of trees\n"
_INTS = r"-?\d{1,10}+(?: -?\d{1,10}+)*+"
_FLOAT = r"-?\d++(?:\.\d++)?+(?:e[+-]?\d{1,3}+)?+"
_FLOATS = rf"{_FLOAT}(?: {_FLOAT})*+"
_THRESHOLDS = rf"(?:{_FLOAT}|inf)(?: (?:{_FLOAT}|inf))*+"
"""A split of missing from known values has the threshold infinity."""
_HEADER = re.compile(
    r"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n"
    r"max_feature_idx=(?P<max_feature>\d{1,6})\nobjective=(?P<objective>[a-z0-9_:. ]+)\n"
    r"feature_names=(?P<names>[^\n]+)\nfeature_infos=(?P<infos>[\w\[\]:.+-]++(?: [\w\[\]:.+-]++)*+)\n"
    r"tree_sizes=(?P<sizes>\d{1,8}(?: \d{1,8})*+)\n\n",
    re.ASCII,
)
_TREE = re.compile(
    r"Tree=(?P<number>\d{1,8}+)\nnum_leaves=(?P<num_leaves>\d{1,6}+)\nnum_cat=(?P<num_cat>\d{1,6}+)\n"
    rf"split_feature=(?P<split_feature>{_INTS}|)\nsplit_gain=(?P<split_gain>{_FLOATS}|)\n"
    rf"threshold=(?P<threshold>{_THRESHOLDS}|)\ndecision_type=(?P<decision_type>{_INTS}|)\n"
    rf"left_child=(?P<left_child>{_INTS}|)\nright_child=(?P<right_child>{_INTS}|)\n"
    rf"leaf_value=(?P<leaf_value>{_FLOATS})\nleaf_weight=(?P<leaf_weight>{_FLOATS}|)\n"
    rf"leaf_count=(?P<leaf_count>{_INTS}|)\ninternal_value=(?P<internal_value>{_FLOATS}|)\n"
    rf"internal_weight=(?P<internal_weight>{_FLOATS}|)\ninternal_count=(?P<internal_count>{_INTS}|)\n"
    rf"(?:cat_boundaries=(?P<cat_boundaries>{_INTS})\ncat_threshold=(?P<cat_threshold>{_INTS})\n)?+"
    rf"is_linear=0\nshrinkage={_FLOAT}\n\n\n",
    re.ASCII,
)
_OF_NODES = ("split_gain", "internal_value", "internal_weight", "internal_count")
_OF_LEAVES = ("leaf_weight", "leaf_count")
"""Arrays that predictions do not use; only their lengths are checked."""
_CATEGORICAL = 1
_DECISION_TYPES = range(12)
"""Bit 0: categorical, bit 1: default direction, bits 2 and 3: 0 to 2, how a missing value is represented."""


class InvalidTrees(ValueError):
    """A text is not a model of this project; the message names the tree and what is wrong with it."""


def validate(text: bytes, features: Sequence[str], objective: str) -> str:
    """Check a model text and return the part that predictions need: the header and the trees.

    What follows the trees (importances, training parameters) is left out.

    Args:
        features: names of the features in the order of the model's inputs.
        objective: as LightGBM writes it, for example `binary sigmoid:1`.

    Raises:
        InvalidTrees: the text has another format, or trees that LightGBM must not read.
    """
    try:
        model = text.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidTrees("is not ASCII text") from None
    header = _HEADER.match(model)
    if header is None:
        raise InvalidTrees("has no header of LightGBM's text format v4 with one output")
    if header["objective"] != objective:
        raise InvalidTrees(f"has the objective {header['objective'][:40]!r}, expected {objective!r}")
    if header["names"].split(" ") != list(features) or int(header["max_feature"]) != len(features) - 1:
        raise InvalidTrees("uses other features than this version")
    if len(header["infos"].split(" ")) != len(features):
        raise InvalidTrees(f"does not describe {len(features)} features")
    begin = header.end()
    for number, size in enumerate(map(int, header["sizes"].split(" "))):
        tree = _TREE.fullmatch(model, begin, begin + size)
        begin += size
        if tree is None or begin > len(model) or int(tree["number"]) != number:
            raise InvalidTrees(f"tree {number} has another format or another size than the header declares")
        if problem := _find_problem(tree, len(features)):
            raise InvalidTrees(f"tree {number}: {problem}")
    if not model.startswith(_END, begin):
        raise InvalidTrees("continues after the trees that the header declares, or ends before them")
    return model[: begin + len(_END)]


def _find_problem(tree: re.Match[str], features: int) -> str | None:
    """Return what is wrong with a tree, or None."""
    leaves = int(tree["num_leaves"])
    nodes = leaves - 1
    values, thresholds = _floats(tree["leaf_value"]), _floats(tree["threshold"])
    split_features, types = _ints(tree["split_feature"]), _ints(tree["decision_type"])
    left, right = _ints(tree["left_child"]), _ints(tree["right_child"])
    of_nodes = (thresholds, split_features, types, left, right)
    # A tree that is a single leaf has fewer of the arrays that predictions do not use.
    unused = [tree[name].count(" ") + 1 for name in _OF_NODES if tree[name]]
    unused_of_leaves = [tree[name].count(" ") + 1 for name in _OF_LEAVES if tree[name]]
    if len(values) != leaves or any(len(array) != nodes for array in of_nodes):
        return f"arrays of other lengths than for {leaves} leaves"
    if any(count != nodes for count in unused) or any(count != leaves for count in unused_of_leaves):
        return f"arrays of other lengths than for {leaves} leaves"
    if not all(abs(value) <= MAX_LEAF_VALUE for value in values):
        return f"a leaf value is not between -{MAX_LEAF_VALUE:g} and {MAX_LEAF_VALUE:g}"
    if not all(0 <= feature < features for feature in split_features):
        return f"a split uses a feature outside 0 to {features - 1}"
    if not all(kind in _DECISION_TYPES for kind in types):
        return "an unknown type of decision"
    # A split replaces a leaf by a node with the next number, so each child has a higher number than its parent. With
    # every node and leaf being the child of one node, all are reached from the root, and there is no cycle.
    if sorted(left + right) != [*range(-leaves, 0), *range(1, nodes)] and nodes:
        return "a node or leaf is not the child of exactly one node"
    if any(0 <= child <= node for children in (left, right) for node, child in enumerate(children)):
        return "a node is its own ancestor"
    return _find_problem_of_categories(tree, thresholds, types)


def _find_problem_of_categories(tree: re.Match[str], thresholds: list[float], types: list[int]) -> str | None:
    """Check the sets of categories: the threshold of a categorical split is the number of its set."""
    sets = int(tree["num_cat"])
    boundaries, words = _ints(tree["cat_boundaries"] or ""), _ints(tree["cat_threshold"] or "")
    expected = range(sets)
    used = [threshold for threshold, kind in zip(thresholds, types, strict=True) if kind & _CATEGORICAL]
    if sorted(used) != list(expected):
        return f"categorical splits do not match the {sets} sets of categories"
    if sets == 0:
        return "sets of categories without a categorical split" if boundaries else None
    if len(boundaries) != sets + 1 or boundaries[0] != 0 or boundaries[-1] != len(words):
        return "the sets of categories have other lengths than their boundaries"
    if any(begin >= end for begin, end in pairwise(boundaries)):
        return "the boundaries of the sets of categories do not increase"
    if not all(0 <= word < 1 << 32 for word in words):
        return "a set of categories is not made of 32-bit words"
    return None


def _ints(text: str) -> list[int]:
    return [int(item) for item in text.split()]


def _floats(text: str) -> list[float]:
    return [float(item) for item in text.split()]
