"""The product's packages do not need the tests, which are neither in the image nor in the wheel."""

from __future__ import annotations

import ast

import pytest

from weatherglass.settings import PROJECT_ROOT


@pytest.mark.parametrize(
    "package", ["weatherglass", "producer", "spark_jobs", "ray_jobs", "benchmarks", "plugins", "dags"]
)
def test_no_module_imports_the_tests(package: str) -> None:
    files = list((PROJECT_ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] == "tests"], file


def test_the_image_contains_every_package_that_a_dag_imports() -> None:
    dockerfile = (PROJECT_ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    allowed = (PROJECT_ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for package in ("weatherglass", "producer", "spark_jobs", "ray_jobs", "benchmarks", "plugins", "dags"):
        assert f"COPY {package} {package}" in dockerfile
        assert f"!{package}" in allowed
