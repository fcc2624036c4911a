"""An isolation forest as plain arrays: trained by scikit-learn, scored with NumPy, saved without pickle.

Score 2^(-E[path] / c(samples)): Liu, Ting and Zhou (2008), Isolation Forest, ICDM. About 0.5 is usual, near 1 unusual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.registry.arrays import ModelArrays

TREES = 100
SAMPLES = 256
EULER_GAMMA = 0.5772156649015329
CHUNK_ROWS = 256
"""With this many rows, the intermediate results of all trees fit into the cache of a processor."""


@dataclass(frozen=True)
class IsolationForest:
    """Trees padded to the same number of nodes; all arrays (trees, nodes).

    Attributes:
        feature: the feature that a node compares; -1 at a leaf.
        threshold: left if the feature is at most this.
        left, right: next node; a leaf points to itself.
        path: length of the path to a leaf, plus the expected further length for the samples that share it.
    """

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    path: npt.NDArray[np.float64]

    def score(self, rows: npt.NDArray) -> npt.NDArray[np.float64]:
        """Return the scores (n,) of rows (n, features)."""
        rows = rows.astype(np.float32)
        parts = [self._score(rows[begin : begin + CHUNK_ROWS]) for begin in range(0, len(rows), CHUNK_ROWS)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _score(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Score all trees and rows at once."""
        trees = np.arange(len(self.feature))[None, :]
        node = np.zeros((len(rows), len(self.feature)), dtype=np.int32)
        for _ in range(int(np.ceil(np.log2(SAMPLES))) + 1):
            feature = self.feature[trees, node]
            value = np.take_along_axis(rows, np.maximum(feature, 0), axis=1)
            goes_left = value <= self.threshold[trees, node]
            node = np.where(goes_left, self.left[trees, node], self.right[trees, node])
        return 2.0 ** (-self.path[trees, node].mean(axis=1) / _average_path(np.array([SAMPLES]))[0])

    def arrays(self) -> dict[str, npt.NDArray]:
        return {f"forest.{name}": value for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: ModelArrays, features: int) -> IsolationForest:
        """Take what `arrays` returned from a file.

        Raises:
            ModelFileError: an array is missing, does not match the others, or has indices out of range.
        """
        feature = arrays.take("forest.feature", np.int32, (None, None), -1, features - 1)
        shape = feature.shape
        return cls(
            feature,
            arrays.take("forest.threshold", np.float32, shape),
            arrays.take("forest.left", np.int32, shape, 0, shape[1] - 1),
            arrays.take("forest.right", np.int32, shape, 0, shape[1] - 1),
            arrays.take("forest.path", np.float64, shape),
        )


def fit(rows: npt.NDArray, seed: int) -> IsolationForest:
    """Fit on rows (n, features), all finite, n at least `SAMPLES`."""
    from sklearn.ensemble import IsolationForest as Sklearn

    trained = Sklearn(n_estimators=TREES, max_samples=SAMPLES, random_state=seed, n_jobs=1).fit(rows)
    trees = [estimator.tree_ for estimator in trained.estimators_]
    nodes = max(tree.node_count for tree in trees)
    shape = (len(trees), nodes)
    own = np.broadcast_to(np.arange(nodes, dtype=np.int32), shape)
    forest = IsolationForest(
        np.full(shape, -1, np.int32), np.zeros(shape, np.float32), own.copy(), own.copy(), np.zeros(shape)
    )
    for t, tree in enumerate(trees):
        inner = tree.children_left >= 0
        at = np.flatnonzero(inner)
        forest.feature[t, at] = tree.feature[inner]
        # scikit-learn compares float32 values with float64 thresholds; rounded down to float32, the result is the same
        rounded = tree.threshold[inner].astype(np.float32)
        too_high = rounded.astype(np.float64) > tree.threshold[inner]
        forest.threshold[t, at] = np.where(too_high, np.nextafter(rounded, np.float32(-np.inf)), rounded)
        forest.left[t, at], forest.right[t, at] = tree.children_left[inner], tree.children_right[inner]
        depth = np.zeros(tree.node_count)
        for node in at:
            depth[tree.children_left[node]] = depth[tree.children_right[node]] = depth[node] + 1
        forest.path[t, : tree.node_count] = depth + _average_path(tree.n_node_samples)
    return forest


def _average_path(samples: npt.NDArray) -> npt.NDArray[np.float64]:
    """Return c(n), the average path length of an unsuccessful search in a binary search tree of n samples."""
    n = np.maximum(samples.astype(np.float64), 3)
    return np.where(samples > 2, 2 * (np.log(n - 1) + EULER_GAMMA) - 2 * (n - 1) / n, np.where(samples == 2, 1.0, 0.0))
