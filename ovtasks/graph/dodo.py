"""Decides from the text of a ``dodo.py`` whether it can affect a build of ours.

A ``dodo.py`` is a program, and loading it may do anything. The fast path may skip it only if it, and the project's
modules that it imports, do nothing but declare tasks. What is not known to be plain counts as not plain.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

CALLS = {"load_tasks": "ovtasks", "Path": "pathlib"}
"""Functions that may be called, and the modules they must come from."""
BUILTINS = frozenset(
    {"globals", "str", "int", "bool", "tuple", "list", "dict", "set", "frozenset", "sorted", "len", "range"}
)
DECORATORS = frozenset({"contextlib.contextmanager", "functools.cache", "dataclasses.dataclass"})
PACKAGES = frozenset({"ovtasks", "doit"})
OUTSIDE = frozenset({"environ", "environb", "argv", "stdin", "getenv", "__builtins__", "__dict__"})
"""Names of things that differ from run to run."""
CONFIG = frozenset({"default_tasks"})
"""Keys of ``DOIT_CONFIG`` that do not affect a goal that is named."""
_PLAIN = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.Load, ast.Store, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Starred),
    *(ast.JoinedStr, ast.FormattedValue, ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop, ast.keyword),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Compare, ast.cmpop),
)


def plain_files(dodo: Path) -> list[Path] | None:
    """``dodo`` and the project's modules that it imports, if all of them only declare; None if they may do more."""
    found: dict[Path, bool] = {}
    return [*found] if _is_plain(dodo, dodo.parent, found) else None


def _is_plain(path: Path, root: Path, found: dict[Path, bool]) -> bool:
    if path in found:
        return True
    found[path] = True
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = dict(_bound(tree))
    if BUILTINS & names.keys() or any(names.get(name, module) != module for name, module in CALLS.items()):
        return False
    return all(_statement(node, root, found) for node in tree.body)


def _bound(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Every name that the module binds, and the module it is imported from (empty if it is not imported)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, node.module or "") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name.partition(".")[0], "") for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, ""
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id, ""
        elif isinstance(node, ast.arg):
            yield node.arg, ""


def _statement(node: ast.stmt, root: Path, found: dict[Path, bool]) -> bool:
    """Whether a statement of a module only declares."""
    match node:
        case ast.Import(names=names):
            return all(_module(alias.name, [], root, found) for alias in names)
        case ast.ImportFrom(module=module, names=names, level=0):
            return _module(module or "", [alias.name for alias in names], root, found)
        case ast.Assign(targets=targets, value=value):
            config = any(isinstance(t, ast.Name) and t.id == "DOIT_CONFIG" for t in targets)
            return all(isinstance(t, ast.Name) for t in targets) and _value(value) and (not config or _config(value))
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value) if name != "DOIT_CONFIG":
            return _value(annotation) and (value is None or _value(value))
        case ast.Expr(value=value):
            return _value(value)
        case ast.FunctionDef(name=name, args=arguments, decorator_list=decorators, body=body):
            defaults = [*arguments.defaults, *(d for d in arguments.kw_defaults if d)]
            plain = all(map(_value, defaults)) and all(ast.unparse(one) in DECORATORS for one in decorators)
            return plain and (not name.startswith("task_") or (not decorators and all(map(_creates, body))))
        case ast.ClassDef(bases=bases, keywords=[], decorator_list=decorators, body=body):
            plain = all(map(_value, bases)) and all(ast.unparse(one) in DECORATORS for one in decorators)
            return plain and all(_statement(one, root, found) for one in body)
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]) | ast.Pass():
            return True
    return False


def _creates(node: ast.stmt) -> bool:
    """Whether a statement of a task function, which runs at every load, only makes tasks."""
    match node:
        case ast.Return(value=value) | ast.Expr(value=ast.Yield(value=value)):
            return value is None or _value(value)
        case ast.Expr(value=value):
            return _value(value)
        case ast.Assign(targets=[ast.Name()], value=value):
            return _value(value)
        case ast.For(target=ast.Name() | ast.Tuple(elts=[ast.Name(), *_]), iter=iterated, body=body, orelse=[]):
            return _value(node.target) and _value(iterated) and all(map(_creates, body))
    return False


def _value(node: ast.expr) -> bool:
    """Whether an expression is data, the same in every run."""
    match node:
        case ast.Lambda():
            return True
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            parts = [*arguments, *(keyword.value for keyword in keywords)]
            return (name in CALLS or name in BUILTINS) and all(map(_value, parts))
    if not isinstance(node, _PLAIN):
        return False
    if (isinstance(node, ast.Name) and node.id in OUTSIDE) or (
        isinstance(node, ast.Attribute) and node.attr in OUTSIDE
    ):
        return False
    return all(_value(child) if isinstance(child, ast.expr) else _part(child) for child in ast.iter_child_nodes(node))


def _part(node: ast.AST) -> bool:
    """Whether a part of an expression that is not one itself is harmless."""
    return isinstance(node, _PLAIN) and all(
        _value(child) if isinstance(child, ast.expr) else _part(child) for child in ast.iter_child_nodes(node)
    )


def _config(value: ast.expr) -> bool:
    return isinstance(value, ast.Dict) and all(isinstance(k, ast.Constant) and k.value in CONFIG for k in value.keys)


def _module(name: str, names: list[str], root: Path, found: dict[Path, bool]) -> bool:
    """Whether importing a module has no effect that matters: Python's own, ours, or a plain one of the project."""
    first, *rest = name.split(".")
    if first in PACKAGES:
        return True
    if not (root / first).is_dir() and not (root / f"{first}.py").is_file():
        return first in sys.stdlib_module_names and "*" not in names
    if "*" in names:
        return False
    folder = root
    for part in (first, *rest):
        folder = folder / part
        init, module = folder / "__init__.py", folder.with_suffix(".py")
        path = init if init.is_file() else module
        if not _is_plain(path, root, found):
            return False
    submodules = [folder / f"{name}.py" for name in names if (folder / f"{name}.py").is_file()]
    return all(_is_plain(path, root, found) for path in submodules)
