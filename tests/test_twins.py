"""No function is written twice: two of one shape, but for names and constants, are one with parameters."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = 6
"""A shorter one says less than the call that would replace it."""
ALIKE: dict[frozenset[str], str] = {}
"""Functions that may look alike, and why."""


class Shape(ast.NodeTransformer):
    """Leaves out what names things: two functions that do the same are equal then."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("_", node.ctx)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(type(node.value).__name__)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg("_", None)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        return ast.keyword("_", self.visit(node.value))


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """With a name that says where; one inside another is a part of that."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(inner, ast.FunctionDef):
                owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
                yield f"{path.relative_to(ROOT)}:{owner}{inner.name}", inner


def shape(function: ast.FunctionDef) -> str | None:
    """None: too short."""
    body = function.body[ast.get_docstring(function) is not None :]
    if not body or (body[-1].end_lineno or 0) - body[0].lineno + 1 < LINES:
        return None
    return "\n".join(ast.dump(Shape().visit(node)) for node in (function.args, *body))


def helpers() -> Iterator[Path]:
    """The product, and what tests share."""
    yield from (ROOT / "ovtasks").rglob("*.py")
    yield from (path for path in (ROOT / "tests").rglob("*.py"))
    yield from (ROOT / "bench").rglob("*.py")


def test_no_function_is_written_twice() -> None:
    found = defaultdict(set)
    for path in helpers():
        for name, function in functions(path):
            if (known := shape(function)) is not None:
                found[known].add(name)
    twins = {frozenset(names) for names in found.values() if len(names) > 1}
    assert twins == ALIKE.keys(), "\n".join(" = ".join(sorted(names)) for names in twins ^ ALIKE.keys())
