"""Tests the tests: a seeded sample of mutants of the source code, each run against the tests of its module.

`make mutants ARGS="--count 50 --seed 2 weatherglass/qc"`. Cosmic Ray mutates a copy of the checkout, so nothing in the
checkout changes. An undetected mutant is either equivalent to the original code or shows a missing test.

A mutant runs against the fast tests of the mirrored folder that import its module; while it is undetected, against the
other fast tests of the folder, its integration tests, and tests elsewhere that import the module. These run first with
a probe before each mutated statement, up to a time limit for each module, so that a mutant needs only the test files
that execute its statement. Mutants of statements that no test executed are counted apart.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import contextlib
import difflib
import importlib
import multiprocessing
import os
import py_compile
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_item import MutationSpec

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

PRELOADED = ("alembic", "fastapi", "hypothesis", "kafka", "numpy", "pandas", "requests", "schemathesis", "sqlalchemy")
"""Libraries that most tests import. Each run is a fork of this process, so that it need not import them again."""
FAST, INTEGRATION = "not integration and not e2e", "integration"
OTHER_TESTS = ("chaos", "cluster", "e2e")
"""Folders of tests that start all of Weatherglass."""
TIMEOUT_FACTOR = 5
TIMEOUT_EXTRA = 60.0
MARKER = "MUTANTS_FOLDER"
"""Environment variable of all processes that the tests start, so that they can be ended."""


class Outcome(Enum):
    DETECTED = "detected"
    UNDETECTED = "UNDETECTED"
    TIMED_OUT = "timed out"
    NOT_EXECUTED = "not executed"


@dataclass(frozen=True)
class Tests:
    """Test files that pass without a mutation, of one kind.

    Attributes:
        kind: FAST or INTEGRATION.
        seconds: how long all of them take.
        files: line of a mutation -> the files that execute its statement.
    """

    kind: str
    seconds: float
    files: dict[int, list[str]]

    def outcome(self, line: int, root: Path) -> Outcome:
        """The outcome of the mutation that is applied; it has timed out if they take much longer than without it."""
        return run_tests(self.kind, self.files[line], root, TIMEOUT_FACTOR * self.seconds + TIMEOUT_EXTRA)


def copy_checkout(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    jar = "spark_jobs/weatherglass.jar"
    for name in (*listed.stdout.splitlines(), jar):
        if (PROJECT_ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT_ROOT / name, target / name)
    # Valid by the content of the source, so that the bytecode of a module is not used for its mutants.
    compileall.compile_dir(target, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    (target / "build").mkdir()
    (target / "build" / "jars").symlink_to(PROJECT_ROOT / "build" / "jars")


def run_tests(kind: str, files: Sequence[str], root: Path, seconds: float) -> Outcome:
    """DETECTED if a test fails, UNDETECTED if all pass or there are none; ends all processes that they started."""
    process = multiprocessing.get_context("fork").Process(target=_run_pytest, args=(kind, files, root))
    process.start()
    process.join(seconds)
    code = process.exitcode
    process.kill()
    process.join()
    while started := _started_processes(root):
        for one in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()  # a job host may have started another one
        psutil.wait_procs(started, 10)
    if code is None:
        return Outcome.TIMED_OUT
    return Outcome.UNDETECTED if code in (0, pytest.ExitCode.NO_TESTS_COLLECTED) else Outcome.DETECTED


def _run_pytest(kind: str, files: Sequence[str], root: Path) -> NoReturn:
    output = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(output, descriptor)
    # Bytecode of a mutant could be taken for that of the next one, within a second and with the same size.
    sys.dont_write_bytecode = True
    os.environ.update({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(root), MARKER: str(root)})
    for name in [name for name in sys.modules if name.partition(".")[0] in (*SOURCES, "tests")]:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    sys.argv = ["pytest"]
    os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-m", kind, *files]))


def _started_processes(root: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARKER) == str(root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def selections(module: str, root: Path) -> Iterator[tuple[str, list[str]]]:
    """Kind and files of tests to run together; those that probably detect a mutant come first.

    The folder of a module is the mirrored one, or the nearest above it.
    """
    name = re.escape(module.removesuffix(".py").replace("/", "."))
    parent, _, stem = name.rpartition(r"\.")
    imports = re.compile(rf"^\s*(from {name} import|import {name}\b|from {parent} import .*\b{stem}\b)", re.MULTILINE)
    files = (root / "tests").rglob("test_*.py")
    texts = {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in files}
    importing = {file for file, text in texts.items() if imports.search(text)}
    folder = next(above for above in Path("tests", module).parents if (root / above).is_dir())
    own = sorted(file for file in texts if Path(file).parent == folder)
    elsewhere = sorted(file for file in importing - set(own) if Path(file).parts[1] not in OTHER_TESTS)
    own_importing = [file for file in own if file in importing]
    own_others = [file for file in own if file not in importing]
    yield FAST, own_importing
    yield FAST, own_others
    yield from ((INTEGRATION, [file]) for file in own_importing + own_others if "mark.integration" in texts[file])
    yield FAST, elsewhere
    yield from ((INTEGRATION, [file]) for file in elsewhere if "mark.integration" in texts[file])


def tests_of(module: str, lines: Set[int], root: Path, limit: float) -> Iterator[Tests]:
    """Run the tests of a module without a mutation until the time limit; those that fail or do not end are omitted."""
    source = (root / module).read_text(encoding="utf-8")
    for kind, files in selections(module, root):
        if not files or limit <= 0:
            continue
        with tempfile.TemporaryDirectory() as probes:
            (root / module).write_text(with_probes(source, lines, Path(probes)), encoding="utf-8")
            start = time.monotonic()
            try:
                passed = run_tests(kind, files, root, limit) is Outcome.UNDETECTED
            finally:
                (root / module).write_text(source, encoding="utf-8")
            executed: dict[int, list[str]] = {}
            for line, _, file in sorted(probe.name.partition(" ") for probe in Path(probes).iterdir()):
                # Without a file the statement was executed outside of a test, for example by an import.
                executed.setdefault(int(line), []).extend([file.replace(":", "/")] if file else files)
        seconds = time.monotonic() - start
        limit -= seconds
        if passed:
            yield Tests(kind, seconds, executed)
        else:
            print(f"{'skipped':<14}{module:<60}fails or takes too long: {' '.join(files)}", flush=True)


PROBE = """
__import__("pathlib").Path(
    {folder!r}, "{line} " + __import__("os").environ.get("PYTEST_CURRENT_TEST", "").split("::")[0].replace("/", ":")
).touch()
"""


def with_probes(source: str, lines: Set[int], folder: Path) -> str:
    """The code of a module that creates a file before the innermost statement at each line.

    The name of the file is the line and the test file that is running.
    """
    left = set(lines)

    class Insertion(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            node = self.generic_visit(node)
            if not isinstance(node, ast.stmt):
                return node
            first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
            inside = {line for line in left if first <= line <= (node.end_lineno or first)}
            left.difference_update(inside)
            probes = "".join(PROBE.format(folder=str(folder), line=line) for line in inside)
            return [*ast.parse(probes).body, node]

    return ast.unparse(Insertion().visit(ast.parse(source)))


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


def run(options: argparse.Namespace, root: Path) -> None:
    """Print one line per mutant, and the difference of undetected ones."""
    modules = sorted(str(file.relative_to(root)) for top in SOURCES for file in (root / top).rglob("*.py"))
    paths, generator = tuple(options.paths), random.Random(options.seed)
    modules = [module for module in modules if not paths or module.startswith(paths)]
    outcomes: Counter[Outcome] = Counter()
    for module in generator.sample(modules, len(modules)):
        found = mutations(module)
        chosen = generator.sample(found, min(options.per_module, len(found), options.count - outcomes.total()))
        if chosen:
            outcomes.update(check(module, chosen, root, options.time_limit))
    detected = outcomes[Outcome.DETECTED]
    executed = detected + outcomes[Outcome.UNDETECTED]
    share = f" ({detected / executed:.0%})" if executed else ""
    others = f"{outcomes[Outcome.NOT_EXECUTED]} more not executed, {outcomes[Outcome.TIMED_OUT]} timed out"
    print(f"{detected} of {executed} mutants detected{share}; {others}")


def check(module: str, chosen: list[MutationSpec], root: Path, limit: float) -> list[Outcome]:
    """Print and return the outcome of each mutation of a module."""
    outcomes = [Outcome.NOT_EXECUTED] * len(chosen)
    differences: list[list[str]] = [[]] * len(chosen)
    for tests in tests_of(module, {mutation.start_pos[0] for mutation in chosen}, root, limit):
        for number, mutation in enumerate(chosen):
            line = mutation.start_pos[0]
            if line not in tests.files or outcomes[number] in (Outcome.DETECTED, Outcome.TIMED_OUT):
                continue
            operator = get_operator(mutation.operator_name)()
            with use_mutation(root / module, operator, mutation.occurrence) as (before, after):
                outcomes[number] = tests.outcome(line, root)
            differences[number] = changed_lines(before, after)
        if all(outcome in (Outcome.DETECTED, Outcome.TIMED_OUT) for outcome in outcomes):
            break
    for mutation, outcome, difference in zip(chosen, outcomes, differences, strict=True):
        place = f"{module}:{mutation.start_pos[0]}"
        print(f"{outcome.value:<14}{place:<60}{mutation.operator_name.removeprefix('core/')}", flush=True)
        if outcome in (Outcome.UNDETECTED, Outcome.TIMED_OUT):
            print("\n".join(f"    {line}" for line in difference), flush=True)
    return outcomes


def changed_lines(before: str, after: str) -> list[str]:
    difference = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in difference if re.match(r"[+-](?![+-])", line)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", help="only modules below these paths")
    parser.add_argument("--count", type=int, default=40, help="number of mutants (default: 40)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default: 1)")
    parser.add_argument("--per-module", type=int, default=3, help="mutants per module (default: at most 3)")
    parser.add_argument(
        "--time-limit", type=float, default=300, help="seconds of unmutated tests per module (default: 300)"
    )
    options = parser.parse_args()
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copy_checkout(Path(folder))
        with contextlib.chdir(folder):
            run(options, Path(folder))


if __name__ == "__main__":
    main()
