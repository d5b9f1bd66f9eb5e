"""The rules of the house that a machine can check: floors, imports, sizes, subprocesses."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("architecture")  # every module is parsed once, for all of them
PACKAGE = Path(__file__).parents[1] / "ovtasks"
ROOMS = (
    "__init__",
    "errors",
    "registry",
    "values",
    "host",
    "machine",
    "project",
    "migrate",
    "seed",
    "images",
    "containers",
    "graph",
    "guest",
    "layers",
    "backends",
    "instance",
    "probes",
    "sources",
    "deploy",
    "plugin",
    "cli",
)
"""From the ground up: a room imports from itself and from those before it."""
GATEWAY = {Path("host", f"{name}.py") for name in ("run", "foreground", "pipes", "process_tree", "spawn", "transfer")}
PROCESSES = {
    "tests/support/processes.py": "processes that tests talk to, signal and kill",
    "tests/support/tasks.py": "pytest on the user's terminal: Ctrl-C is handed on, then all that it started is ended",
    "tests/support/user.py": "another user's processes: both streams on one pipe, in our own session",
    "tests/cli/test_terminal.py": "terminals and full files as streams, a controlling terminal",
    "tests/cli/test_interrupts.py": "a signal at a moment that a byte on a pipe gives",
}
"""Files beside the package that import subprocess, and why."""
HEAVY = {
    "requests",
    "paramiko",
    "libvirt",
    "pycdlib",
    "jsonschema",
    "sh",
    "yaml",
    "ruamel",
    "rich",
    "cryptography",
    "zstandard",
}
OLD_WORDS = {
    **dict.fromkeys(("trouble", "refusals", "messages", "faults", "yaml_faults", "blame", "complaints"), "diagnosis"),
    **dict.fromkeys(("rests", "strays", "remains"), "leftovers"),
    **dict.fromkeys(("records", "notes"), "provenance, record, receipt or manifest"),
    **dict.fromkeys(("transport",), "http; a container image has transports"),
    **dict.fromkeys(("spec", "render"), "project, machine or seed"),
    **dict.fromkeys(("others", "people", "misc", "utils"), "what it holds"),
}
"""Names that no module has any more, and the house's word for each (docs/architecture.md, "Words")."""
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(path for room in ("tests", "bench", "docs") for path in (PACKAGE.parent / room).rglob("*.py"))
# The package's own entry point names the loader when a dodo.py calls it, not when it is imported.
UPWARD_ON_CALL = {("__init__", "graph")}


def room(module: str) -> str:
    """``graph`` of ``ovtasks.graph.step``; the package itself is ``__init__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "load_tasks" else "__init__"


def module_name(path: Path) -> str:
    """``ovtasks.graph.step`` of ``…/graph/step.py``, ``ovtasks.graph`` of ``…/graph/__init__.py``."""
    return ".".join(("ovtasks", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {
                f"{node.module}.{alias.name}" for alias in node.names if not alias.name.startswith("__")
            }
    return found


@cache
def imported(path: Path) -> set[str]:
    return imports(parsed(path))


def files_needed(tree: ast.AST, known: set[str]) -> set[str]:
    """Those of ``known`` that the imports of a file name: of ``from package import module`` the module alone."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= below & known or {node.module}
    return found & known


def top_level(tree: ast.Module) -> ast.Module:
    """Without functions, and without what only type checkers read."""
    kept = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    kept = [n for n in kept if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))]
    return ast.Module(kept, [])


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def for_every_module(check: Callable[[Path], None]) -> Callable[[], None]:
    """A test that makes the check for each module, and names all that fail it."""

    def test() -> None:
        failed = []
        for path in MODULES:
            try:
                check(path)
            except AssertionError as e:
                failed.append(f"{path.relative_to(PACKAGE)}: {e}")
        assert not failed, "\n".join(failed)

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


@for_every_module
def test_imports_run_down_the_floors(path: Path) -> None:
    own = room(module_name(path))
    for module in imported(path):
        if module.split(".")[0] == "ovtasks" and (own, room(module)) not in UPWARD_ON_CALL:
            assert ROOMS.index(room(module)) <= ROOMS.index(own), f"{path} imports {module}"


def test_every_room_has_its_place() -> None:
    assert {room(module_name(path)) for path in MODULES} == {*ROOMS}


def test_no_circles_of_files() -> None:
    """A file that needs another one is not needed by it, however far round."""
    known = {module_name(path) for path in MODULES}
    needs = {module_name(path): files_needed(parsed(path), known) - {module_name(path)} for path in MODULES}
    needs["ovtasks"].discard("ovtasks.graph.loader")  # on call, see UPWARD_ON_CALL
    while ready := [name for name, below in needs.items() if not below & needs.keys()]:
        for name in ready:
            del needs[name]
    assert not needs, f"imported in a circle, or by one that is: {sorted(needs)}"


def test_no_two_classes_of_one_name() -> None:
    """Who reads ``State`` knows which; a type alias has a name like a class, and a private name is a name, too."""
    owners: dict[str, list[str]] = {}
    for path in MODULES:
        for name in {name.lstrip("_") for name in types(parsed(path))}:
            owners.setdefault(name, []).append(str(path.relative_to(PACKAGE)))
    assert not {name: files for name, files in owners.items() if len(files) > 1}


def types(tree: ast.Module) -> Iterator[str]:
    """The names of all classes, and of the type aliases of the file."""
    yield from (node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                one.id for one in targets if isinstance(one, ast.Name) and re.fullmatch("_?[A-Z]+[a-z]+\\w*", one.id)
            )


def test_old_words_are_gone() -> None:
    """One job has one name; what another program complains about is diagnosed in one place of a room."""
    for path in MODULES:
        module = path.relative_to(PACKAGE).with_suffix("")
        for word in module.parts:
            assert word not in OLD_WORDS, f"{path}: the house's word is {OLD_WORDS.get(word)}"
        functions = {node.name for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)}
        assert "explain" not in functions, f"{path}: the house's word is diagnose"
        assert "diagnose" not in functions or "diagnosis" in module.parts, f"{path} diagnoses"
        assert "diagnos" not in module.name or module.name == "diagnosis", path


def test_the_house_s_words_have_rooms() -> None:
    """The table of docs/architecture.md: in order, each word once, and of a room that there is."""
    page = (PACKAGE.parent / "docs/architecture.md").read_text(encoding="utf-8")
    _, _, *rows = (line for line in page.partition("\n## Words\n")[2].splitlines() if line.startswith("|"))
    words, _, rooms = zip(*([cell.strip(" `") for cell in row.strip("|").split(" | ")] for row in rows), strict=True)
    assert [*words] == sorted({*words}, key=str.lower) and len(words) > 30
    assert {*rooms} <= {*ROOMS, "all"}


@for_every_module
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    assert not {module.split(".")[0] for module in imports(top_level(parsed(path)))} & HEAVY


@for_every_module
def test_one_idea_a_file_and_a_function(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, f"{path.name}:{node.lineno} {node.name}"


def test_tests_of_a_room_need_no_other_rooms() -> None:
    """What tests of several rooms need is in tests/support."""
    for path in (PACKAGE.parent / "tests").rglob("*.py"):
        own = path.relative_to(PACKAGE.parent / "tests").parts[0]
        others = [module.split(".") for module in imported(path) if module.startswith("tests.")]
        assert not {parts[1] for parts in others if len(parts) > 2} - {own, "support"}, path


def test_tests_and_benches_have_one_idea_a_file() -> None:
    """Tables of cases too: a table that grows over this is several."""
    sizes = {str(path.relative_to(PACKAGE.parent)): len(path.read_bytes().splitlines()) for path in SCRIPTS}
    assert not {name: size for name, size in sizes.items() if size > 400}


@for_every_module
def test_subprocesses_go_through_the_gateway(path: Path) -> None:
    if path.relative_to(PACKAGE) in GATEWAY:
        return
    assert "subprocess" not in imported(path)
    assert "os.system" not in path.read_text(encoding="utf-8")


def test_tests_call_programs_by_sh() -> None:
    """By ``tests/support/programs.py``; these start processes themselves."""
    root = PACKAGE.parent
    files = [path for name in ("tests", "bench", "docs") for path in (root / name).rglob("*.py")] + [root / "dodo.py"]
    using = {str(path.relative_to(root)) for path in files if "subprocess" in imported(path)}
    assert using == set(PROCESSES)


def test_the_graph_knows_no_source() -> None:
    """What a source needs, takes and is called, it declares itself; see ``graph/plugins.py``."""
    words = re.compile(r"podman|bootc|bootstrap|mmdebstrap|cloud_image|transport|root.size|CONTAINERS_")
    for path in (*(PACKAGE / "graph").rglob("*.py"), PACKAGE / "cli" / "goals.py", PACKAGE / "cli" / "needs.py"):
        assert not words.findall(path.read_text(encoding="utf-8")), path


def test_renderers_do_no_io() -> None:
    for path in (path for name in ("values", "machine", "seed") for path in (PACKAGE / name).rglob("*.py")):
        calls = {ast.unparse(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)}
        assert not calls & {"open", "print", "input"}, path
        assert not any(
            call.endswith((".read_text", ".read_bytes", ".write_text", ".stat", ".exists")) for call in calls
        )


PROMISED = {"Libvirt": ("Backend", "Recalls"), "Qemu": ("Backend", "Recalls"), "SystemClock": ("Clock",)}
"""Classes that keep Protocols without naming them as bases: the Protocols say what their methods do."""


@cache
def classes() -> dict[str, ast.ClassDef]:
    """Every class of the package by its name."""
    found = (node for path in MODULES for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef))
    return {node.name: node for node in found}


def methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {inner.name: inner for inner in node.body if isinstance(inner, ast.FunctionDef)}


def inherits_docstring(owner: ast.ClassDef, method: str) -> bool:
    """Whether a base of ``owner``, or a Protocol that it keeps, has this method and says what it does."""
    bases = [ast.unparse(base).partition("[")[0] for base in owner.bases]
    for base in (classes()[name] for name in (*bases, *PROMISED.get(owner.name, ())) if name in classes()):
        inner = methods(base).get(method)
        if (inner is not None and ast.get_docstring(inner)) or inherits_docstring(base, method):
            return True
    return False


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public functions, classes and methods without a docstring; an override may leave it to what it overrides."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f"{node.lineno} {node.name}"
        if isinstance(node, ast.ClassDef):
            for name, method in methods(node).items():
                if not (name.startswith("_") or ast.get_docstring(method) or inherits_docstring(node, name)):
                    yield f"{method.lineno} {node.name}.{name}"


@for_every_module
def test_public_names_say_what_they_mean(path: Path) -> None:
    assert not list(undocumented(parsed(path))), path
