"""Tests the tests: a seeded sample of mutants of the source code, each run against the tests of its module.

`make mutants ARGS="--count 50 --seed 2 weatherglass/qc"`. Cosmic Ray mutates a copy of the checkout, so nothing in the
checkout changes. An undetected mutant is either equivalent to the original code or shows a missing test.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome

from weatherglass.settings import PROJECT_ROOT

SOURCES = ("weatherglass", "producer", "spark_jobs", "ray_jobs", "plugins")
OPERATORS = (
    *(f"core/ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul")),
    *(
        f"core/ReplaceComparisonOperator_{pair}"
        for pair in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt", "Gt_Lt", "Eq_NotEq", "NotEq_Eq", "Is_IsNot")
    ),
    *(f"core/{name}" for name in ("AddNot", "NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd")),
    *(f"core/{name}" for name in ("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceUnaryOperator_USub_UAdd")),
    *(f"core/{name}" for name in ("ReplaceBreakWithContinue", "ReplaceContinueWithBreak")),
)
"""Operators that imitate mistakes of programmers; the others of Cosmic Ray mostly produce type errors."""

PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "'not integration and not e2e'")
TIMEOUT_FACTOR = 5
TIMEOUT_EXTRA = 60.0


@dataclass(frozen=True)
class Target:
    """A module, the tests that import it, and how long they take without a mutation."""

    module: str
    command: str
    seconds: float


def copy_checkout(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (PROJECT_ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT_ROOT / name, target / name)


def tests_of(module: str, root: Path) -> list[str]:
    """The test files below the mirrored folder that import the module."""
    folder = root / "tests" / Path(module).parent
    name = re.escape(module.removesuffix(".py").replace("/", "."))
    parent, _, stem = name.rpartition(r"\.")
    imports = re.compile(rf"^\s*(from {name} import|import {name}\b|from {parent} import .*\b{stem}\b)", re.MULTILINE)
    files = sorted(folder.glob("test_*.py")) if folder.is_dir() else []
    return [str(file.relative_to(root)) for file in files if imports.search(file.read_text(encoding="utf-8"))]


def measure(module: str, root: Path) -> Target | None:
    """Run the tests of a module without a mutation; None if there are none or they fail."""
    files = tests_of(module, root)
    if not files:
        return None
    command = " ".join([*PYTEST, *files])
    start = time.monotonic()
    passed = subprocess.run(command, shell=True, cwd=root, capture_output=True, check=False).returncode == 0
    return Target(module, command, time.monotonic() - start) if passed else None


def mutations(module: str) -> list[MutationSpec]:
    """All mutations of a module, except of `strict` of `zip` and `frozen` of dataclasses, which are equivalent.

    Both only guard against mistakes in the code itself; mypy finds assignments to a frozen instance.
    """
    lines = Path(module).read_text(encoding="utf-8").splitlines()
    nodes = list(ast_nodes(get_ast_from_path(Path(module))))
    found = []
    for name in OPERATORS:
        operator = get_operator(name)()
        positions = [position for node in nodes for position in operator.mutation_positions(node)]
        for number, (start, end) in enumerate(positions):
            if not lines[start[0] - 1][: start[1]].endswith(("strict=", "frozen=")):
                found.append(MutationSpec(module, name, number, start, end))
    return found


def sample(
    modules: list[str], root: Path, generator: random.Random, per_module: int
) -> Iterator[tuple[Target, MutationSpec]]:
    """Mutations of modules in random order, at most `per_module` of each."""
    for module in generator.sample(modules, len(modules)):
        candidates = mutations(module)
        chosen = generator.sample(candidates, min(per_module, len(candidates)))
        target = measure(module, root) if chosen else None
        if target:
            yield from ((target, mutation) for mutation in chosen)
        elif chosen:
            print(f"{'skipped':<11}{module:<60}no tests, or they fail without a mutation", flush=True)


def run(count: int, seed: int, per_module: int, paths: list[str], root: Path) -> int:
    """Print one line per mutant; returns the number of undetected mutants."""
    modules = sorted(str(file.relative_to(root)) for top in SOURCES for file in (root / top).rglob("*.py"))
    modules = [module for module in modules if not paths or any(module.startswith(path) for path in paths)]
    detected = undetected = 0
    for target, mutation in sample(modules, root, random.Random(seed), per_module):
        if detected + undetected == count:
            break
        result = mutate_and_test([mutation], target.command, TIMEOUT_FACTOR * target.seconds + TIMEOUT_EXTRA)
        if result.worker_outcome is not WorkerOutcome.NORMAL:
            continue
        survived = result.test_outcome is TestOutcome.SURVIVED
        undetected, detected = undetected + survived, detected + (not survived)
        place = f"{target.module}:{mutation.start_pos[0]}"
        print(f"{'UNDETECTED' if survived else 'detected':<11}{place:<60}{mutation.operator_name}", flush=True)
        if survived:
            print("\n".join(f"    {line}" for line in _changed_lines(result.diff or "")), flush=True)
    total = detected + undetected
    print(f"{detected} of {total} mutants detected" + (f" ({detected / total:.0%})" if total else ""))
    return undetected


def _changed_lines(diff: str) -> list[str]:
    return [line for line in diff.splitlines() if re.match(r"[+-](?![+-])", line)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", help="only modules below these paths")
    parser.add_argument("--count", type=int, default=40, help="number of mutants (default: 40)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default: 1)")
    parser.add_argument("--per-module", type=int, default=3, help="mutants per module (default: at most 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy_checkout(Path(folder))
        with contextlib.chdir(folder):
            run(options.count, options.seed, options.per_module, options.paths, Path(folder))


if __name__ == "__main__":
    main()
