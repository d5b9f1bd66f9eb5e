"""Finds what the package can say when it fails: the message of each place that makes an ``OvError``.

A message is a text with ``…`` where a value goes. It is followed through local names, through parameters to the
callers, through functions to what they return, and through tables at the top of a module. What others put around it
(``…: ``) is left out: only the text itself tells one error from another.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "ovtasks"
GAP = "…"
_ROOTS = {"OvError", "InputError"}
_MANY = {"InputErrors"}
_VALUES = {"dotted", "public", "display", "str", "join", "format", "strip", "replace", "format_size"}
"""Functions that make a value within a message, never a message."""
_DEPTH = 7
Seen = frozenset[tuple[int, str]]


@dataclass(frozen=True)
class RaiseSite:
    """A place that makes an error: its file below the package, the function, the line, and what it may say."""

    file: str
    function: str
    line: int
    error: str
    base: str
    messages: tuple[str, ...]
    hints: tuple[str, ...]


def raise_sites(package: Path = PACKAGE) -> list[RaiseSite]:
    """All of them, in the order of files and lines."""
    return list(_Package(package).sites())


def is_message(text: str) -> bool:
    """Whether a text says enough to be told from others: two words at least."""
    bare = text.replace(GAP, " ").strip(" :,;.'\"")
    return len(re.findall(r"[A-Za-z]", bare)) >= 6 and " " in bare and not re.search(r"\(\?:|\[\^", text)


def core(text: str) -> str:
    """A message without what stands around it: ``…: no space left: …`` says ``no space left``."""
    text = re.sub(rf"^(?:{GAP}|the top level)?: ", "", text)
    return re.sub(rf"(?:(?<=[a-z)\d]){GAP}|:?\s*\n.*)\s*$", "", text, flags=re.DOTALL).strip()


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _letters(text: str) -> int:
    return len(re.findall(r"[A-Za-z]", text))


def _tidy(text: str) -> str:
    return re.sub(rf"{GAP}(?:{GAP})+", GAP, text)


class _Package:
    """Every module of the package as a tree, with the callers and functions of each name."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self.modules = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(package.rglob("*.py"))}
        self.above: dict[ast.AST, ast.AST] = {}
        self.file: dict[ast.AST, Path] = {}
        self.calls: dict[str, list[ast.Call]] = defaultdict(list)
        self.functions: dict[str, list[ast.FunctionDef]] = defaultdict(list)
        self.imported: dict[Path, set[str]] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.walked: dict[ast.AST, tuple[ast.AST, ...]] = {}
        self.assignments: dict[tuple[ast.AST, str], list[ast.expr]] = {}
        for path, tree in self.modules.items():
            self._enter(path, tree)
        self.errors = self._errors()

    def _enter(self, path: Path, tree: ast.Module) -> None:
        self.imported[path] = set()
        waiting: list[ast.AST] = [tree]
        while waiting:
            node = waiting.pop()
            self.file[node] = path
            for inner in ast.iter_child_nodes(node):
                self.above[inner] = node
                waiting.append(inner)
            if isinstance(node, ast.Call):
                self.calls[_name(node.func)].append(node)
            elif isinstance(node, ast.FunctionDef):
                self.functions[node.name].append(node)
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, ast.ImportFrom) and node.module:
                self.imported[path] |= {node.module, *(alias.name for alias in node.names)}

    def _errors(self) -> set[str]:
        found = {"OvError"}
        while (
            more := {name for name, node in self.classes.items() if {_name(base) for base in node.bases} & found}
            - found
        ):
            found |= more
        return found

    def sites(self) -> Iterator[RaiseSite]:
        """Each call of an error class, and each message that an error class makes itself."""
        for path, tree in self.modules.items():
            made = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
            for node in sorted(made, key=lambda node: (node.lineno, node.col_offset)):
                name = _name(node.func)
                if name in self.errors - _MANY and self._words_of(name) in _ROOTS:
                    yield self._site(path, node, name)
                elif name == "__init__":
                    owner = self._enclosing(node, ast.ClassDef)
                    if isinstance(owner, ast.ClassDef) and owner.name in self.errors - _ROOTS - _MANY:
                        yield self._site(path, node, owner.name)

    def _words_of(self, error: str) -> str:
        """The class whose ``__init__`` an error of this class is made by."""
        node = self.classes[error]
        if error in _ROOTS or any(isinstance(one, ast.FunctionDef) and one.name == "__init__" for one in node.body):
            return error
        return self._words_of(next(_name(base) for base in node.bases if _name(base) in self.errors))

    def _base(self, error: str) -> str:
        """The class of ``ovtasks.errors`` that an error class is made from; it says the exit code."""
        while self.file[self.classes[error]].parent.name != "errors":
            error = next(_name(base) for base in self.classes[error].bases if _name(base) in self.errors)
        return error

    def _site(self, path: Path, node: ast.Call, error: str) -> RaiseSite:
        function = self._enclosing(node, ast.FunctionDef)
        hint = next((word.value for word in node.keywords if word.arg == "hint"), None)
        return RaiseSite(
            file=path.relative_to(self.package).as_posix(),
            function=function.name if isinstance(function, ast.FunctionDef) else "",
            line=node.lineno,
            error=error,
            base=self._base(error),
            messages=tuple(dict.fromkeys(core(one) for one in self.texts(node.args[0]) if is_message(core(one)))),
            hints=tuple(dict.fromkeys(one for one in (self.texts(hint) if hint else ()) if is_message(one))),
        )

    def _enclosing(self, node: ast.AST, kind: type[ast.AST]) -> ast.AST | None:
        above = self.above.get(node)
        while above is not None and not isinstance(above, kind):
            above = self.above.get(above)
        return above

    def texts(self, node: ast.expr, depth: int = 0, seen: Seen = frozenset()) -> list[str]:
        """What an expression may be, as texts with gaps."""
        if depth > _DEPTH:
            return [GAP]
        parts: Iterable[ast.expr]
        match node:
            case ast.Constant(value=str() as text):
                return [text]
            case ast.JoinedStr():
                return self._joined(node, depth, seen)
            case ast.BinOp(op=ast.Add()):
                plain = isinstance(node.right, ast.Constant | ast.JoinedStr)
                ends = self.texts(node.right, depth + 1, seen) if plain else [GAP]
                return [_tidy(a + b) for a in self.texts(node.left, depth + 1, seen) for b in ends]
            case ast.IfExp():
                parts = (node.body, node.orelse)
            case ast.BoolOp() | ast.Dict():
                parts = node.values
            case ast.NamedExpr():
                parts = (node.value,)
            case ast.Subscript(value=ast.Name() | ast.Dict()):
                parts = (node.value,)
            case ast.Name():
                return self._named(node, depth, seen)
            case ast.Call():
                return self._called(node, depth, seen)
            case _:
                return [GAP]
        return [text for part in parts for text in self.texts(part, depth + 1, seen)]

    def _joined(self, node: ast.JoinedStr, depth: int, seen: Seen) -> list[str]:
        plain = _tidy("".join(str(one.value) if isinstance(one, ast.Constant) else GAP for one in node.values))
        if _letters(plain) >= 4:
            return [plain]
        choices = [
            [str(one.value)]
            if isinstance(one, ast.Constant)
            else self.texts(one.value, depth + 1, seen)
            if isinstance(one, ast.FormattedValue)
            else [GAP]
            for one in node.values
        ]
        return [_tidy("".join(words)) for words in itertools.islice(itertools.product(*choices), 80)]

    def _called(self, node: ast.Call, depth: int, seen: Seen) -> list[str]:
        name = _name(node.func)
        if name == "get" and isinstance(node.func, ast.Attribute):
            parts = [node.func.value, *node.args[1:]]
            return [text for part in parts for text in self.texts(part, depth + 1, seen)]
        if name == "rstrip" and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.JoinedStr):
            return self.texts(node.func.value, depth + 1, seen)
        if name in _VALUES or name[:1].isupper():
            return [GAP]
        found = [text for value, known in self._returned(node, seen) for text in self.texts(value, depth + 1, known)]
        if any(_letters(text) >= 4 for text in found):
            return found
        words = [one for one in node.args if isinstance(one, ast.Constant | ast.JoinedStr | ast.BinOp)]
        given = [text for one in words for text in self.texts(one, depth + 1, seen) if _letters(text) >= 4]
        return [_tidy(GAP + text + GAP) for text in given] or [GAP]

    def _returned(self, node: ast.Call, seen: Seen) -> Iterator[tuple[ast.expr, Seen]]:
        """What the called function returns; of a tuple the first."""
        known = self.functions.get(_name(node.func), [])
        known = [one for one in known if self.file[one] == self.file[node]] or known
        for function in known if len(known) <= 2 else ():
            if (id(function), "") in seen:
                continue
            for inner in self._inside(function):
                if isinstance(inner, ast.Return | ast.Yield) and inner.value is not None:
                    value = inner.value
                    if isinstance(value, ast.Tuple):
                        value = value.elts[0] if value.elts else ast.Constant(None)
                    if not (isinstance(value, ast.Constant) and not value.value):
                        yield value, seen | {(id(function), "")}

    def _named(self, node: ast.Name, depth: int, seen: Seen) -> list[str]:
        function = self._enclosing(node, ast.FunctionDef)
        while isinstance(function, ast.FunctionDef):
            found = [
                text for value in self._assignments(function, node.id) for text in self.texts(value, depth + 1, seen)
            ]
            if found:
                return found
            if (spot := _parameter(function, node.id)) is not None and (id(function), node.id) not in seen:
                seen |= {(id(function), node.id)}
                values = self._given(function, node.id, spot)
                return [text for value in values for text in self.texts(value, depth + 1, seen)] or [GAP]
            function = self._enclosing(function, ast.FunctionDef)
        return self._constant(self.file[node], node.id, depth, seen)

    def _inside(self, function: ast.AST) -> tuple[ast.AST, ...]:
        """All nodes of a function."""
        if function not in self.walked:
            self.walked[function] = tuple(ast.walk(function))
        return self.walked[function]

    def _assignments(self, function: ast.AST, name: str) -> list[ast.expr]:
        """All that is assigned to a name in a function."""
        if (function, name) not in self.assignments:
            made = (value for inner in self._inside(function) for value in self._assigned(inner, name))
            self.assignments[function, name] = list(made)
        return self.assignments[function, name]

    def _assigned(self, node: ast.AST, name: str) -> Iterator[ast.expr]:
        match node:
            case ast.Assign(targets=[ast.Name(id=one)], value=value) if one == name:
                yield value
            case ast.AnnAssign(target=ast.Name(id=one), value=ast.expr() as value) if one == name:
                yield value
            case ast.NamedExpr(target=ast.Name(id=one), value=value) if one == name:
                yield value
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=value):
                places = [at for at, one in enumerate(names) if isinstance(one, ast.Name) and one.id == name]
                for at in places:
                    yield from self._item(value, at)

    def _item(self, value: ast.expr, at: int) -> Iterator[ast.expr]:
        """Item ``at`` of a tuple, or of those that the called function returns."""
        if isinstance(value, ast.IfExp):
            yield from (*self._item(value.body, at), *self._item(value.orelse, at))
        elif isinstance(value, ast.Tuple):
            yield value.elts[at]
        elif isinstance(value, ast.Call):
            known = self.functions.get(_name(value.func), [])
            known = [one for one in known if self.file[one] == self.file[value]] or known
            returned = [
                one.value for function in known for one in self._inside(function) if isinstance(one, ast.Return)
            ]
            yield from (one.elts[at] for one in returned if isinstance(one, ast.Tuple) and len(one.elts) > at)

    def _given(self, function: ast.FunctionDef, name: str, spot: int) -> Iterator[ast.expr]:
        """What callers give for a parameter; ``spot`` is its place, -1 when it is given by name alone."""
        owner = self.above[function]
        method = isinstance(owner, ast.ClassDef)
        if method and not any(_name(one) == "staticmethod" for one in function.decorator_list):
            spot -= 1
        for call in self._callers(function, owner if isinstance(owner, ast.ClassDef) else None):
            named = next((word.value for word in call.keywords if word.arg == name), None)
            if named is not None:
                yield named
            elif 0 <= spot < len(call.args) and not any(isinstance(one, ast.Starred) for one in call.args[: spot + 1]):
                yield call.args[spot]

    def _callers(self, function: ast.FunctionDef, owner: ast.ClassDef | None) -> Iterator[ast.Call]:
        home = self.file[function]
        module = ".".join((self.package.name, *home.relative_to(self.package).with_suffix("").parts))
        made = function.name == "__init__" and owner is not None
        name = owner.name if made and owner is not None else function.name
        for call in self.calls.get(name, []):
            where = self.file[call]
            if owner is not None and not made and not isinstance(call.func, ast.Attribute):
                continue
            known = {module, name} | ({owner.name} if owner is not None else set())
            if where == home or ((not function.name.startswith("_") or made) and known & self.imported[where]):
                yield call

    def _constant(self, path: Path, name: str, depth: int, seen: Seen) -> list[str]:
        """A name of the module's top, or of the module that it is imported from."""
        for node in self.modules[path].body:
            if found := [text for value in self._assigned(node, name) for text in self.texts(value, depth + 1, seen)]:
                return found
            if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
                other = self.package.parent.joinpath(*node.module.split(".")).with_suffix(".py")
                if other in self.modules and other != path and depth < _DEPTH:
                    return self._constant(other, name, depth + 1, seen)
        return [GAP]


def _parameter(function: ast.FunctionDef, name: str) -> int | None:
    """The place of a parameter; -1 for one that is given by name alone, None when there is none of this name."""
    places = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    if name in places:
        return places.index(name)
    return -1 if name in {one.arg for one in function.args.kwonlyargs} else None
