"""Tests that documentation names as `file::function`."""

from __future__ import annotations

import ast
import re

from weatherglass.settings import PROJECT_ROOT


def named_tests(text: str) -> list[tuple[str, str]]:
    """File and function of each test that a text names."""
    return re.findall(r"`(tests/[^`]+)::(\w+)`", text)


def exists(file: str, function: str) -> bool:
    """Whether a module has a function."""
    tree = ast.parse((PROJECT_ROOT / file).read_text(encoding="utf-8"))
    return function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
