"""``./doitw build:x`` with nothing to do: answered before doit is loaded, and as doit would."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.graph.dodo import plain_files
from ovtasks.graph.manifest import doit_answer
from tests.launcher.conftest import stamp
from tests.support.checkout import ROOT
from tests.support.programs import Ended
from tests.support.workbench import Workbench, cloud_vm, make_image

DODO = """from ovtasks import load_tasks
from mine.tasks import task_mine

DOIT_CONFIG = {"default_tasks": ["build"]}
load_tasks(globals())
"""
MINE = '''"""Mine."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def act():
    subprocess.run(["true"], check=True)


def task_mine():
    """mine"""
    return {"actions": [act], "uptodate": [False]}
'''


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A project with this checkout's doitw, whose .venv is the one that runs the tests."""
    root = tmp_path / "project"
    (root / ".venv/bin").mkdir(parents=True)
    (root / "mine").mkdir()
    for name in ("doitw", "pyproject.toml"):
        shutil.copy2(ROOT / name, root / name)
    for name in ("python", "doit"):
        script = root / ".venv/bin" / name
        script.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).parent}/{name}" "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    stamp(root, extras="all that is possible")
    (root / "ovtasks").symlink_to(ROOT / "ovtasks")
    (root / "dodo.py").write_text(DODO, encoding="utf-8")
    (root / "mine/__init__.py").write_text("", encoding="utf-8")
    (root / "mine/tasks.py").write_text(MINE, encoding="utf-8")
    bench = Workbench(root, {"PYTHONDONTWRITEBYTECODE": "1"})
    make_image(tmp_path / "base.qcow2")
    bench.write({"a": cloud_vm(tmp_path / "base.qcow2"), "b": cloud_vm(tmp_path / "base.qcow2")})
    monkeypatch.chdir(root)
    time.sleep(0.05)
    return bench


def doitw(at: Workbench, *words: str) -> Ended:
    return at.run(["./doitw", *words])


def known(at: Workbench, *words: str) -> bool:
    """Whether the answer comes from the note; then it must be doit's own."""
    script = "from ovtasks.cli import doit_known; raise SystemExit(doit_known())"
    done = at.run(["./.venv/bin/python", "-S", "-c", script, *words])
    if done.returncode:
        assert done.stdout == ""
        return False
    long = at.run(["./.venv/bin/doit", *words])
    assert (done.stdout, done.returncode) == (long.stdout, long.returncode)
    return True


@pytest.mark.slow
def test_the_answer_is_doits(checkout: Workbench) -> None:
    assert doitw(checkout, "build:a").returncode == 0
    assert known(checkout, "build:a")
    done = doitw(checkout, "build:a")
    assert [line.split()[1] for line in done.stdout.splitlines()][2:] == ["disk:a", "seed:a"]
    assert done.stderr == "" and done.returncode == 0
    for words in (["build:b", "--size", "2G"], ["build"], ["build:b", "build:a"], ["build:a", "--type=raw"]):
        assert not known(checkout, *words)
        assert doitw(checkout, *words).returncode == 0
        assert doitw(checkout, *words).returncode == 0
        assert known(checkout, *words), words
    for words in (["build:a", "mine"], ["build:*"], ["-v2", "build:a"], ["disk:a"], ["mine"], ["list"], []):
        doitw(checkout, *words)
        assert not known(checkout, *words), words


CHANGES: dict[str, Callable[[Path], object]] = {
    "disk": lambda root: (root / "output/a/qcow2/disk.qcow2").unlink(),
    "vms.yml": lambda root: (root / "vms.yml").write_text((root / "vms.yml").read_text() + "\n"),
    "dodo.py": lambda root: (root / "dodo.py").write_text(DODO + "print('loaded')\n"),
    "what dodo.py imports": lambda root: (root / "mine/tasks.py").write_text(MINE + "\nprint('loaded')\n"),
    "its package": lambda root: (root / "mine/__init__.py").write_text("print('loaded')\n"),
    "dodo.py goes": lambda root: (root / "dodo.py").unlink(),
    "settings": lambda root: (root / "doit.cfg").write_text("[GLOBAL]\nverbosity = 0\n"),
    "doitw": lambda root: (root / "doitw").write_text((root / "doitw").read_text() + "\n"),
    "pyproject.toml": lambda root: (root / "pyproject.toml").write_text((root / "pyproject.toml").read_text() + "\n"),
}


@pytest.mark.slow
def test_what_doit_would_see_is_seen(checkout: Workbench) -> None:
    names = ("vms.yml", "dodo.py", "mine/tasks.py", "mine/__init__.py", "doitw", "pyproject.toml")
    watched = [checkout.root / name for name in names]
    for name, change in CHANGES.items():
        doitw(checkout, "build:a")
        doitw(checkout, "build:a")
        assert known(checkout, "build:a"), name
        before = {path: path.read_bytes() for path in watched if path.exists()}
        change(checkout.root)
        assert not known(checkout, "build:a"), name
        (checkout.root / "doit.cfg").unlink(missing_ok=True)
        for path, data in before.items():
            path.write_bytes(data)
        time.sleep(0.05)


PLAIN = {
    "two lines": "from ovtasks import load_tasks\nload_tasks(globals())\n",
    "tasks": DODO.replace("from mine.tasks import task_mine\n", "") + "\ndef task_x():\n    for n in range(3):\n"
    "        yield {'name': str(n), 'actions': [f'echo {n}'], 'clean': True}\n",
    "a module": DODO,
}
MORE = {
    "prints": "print('hello')\n",
    "reads the environment": "import os\nX = os.environ['HOME']\n",
    "reads the environment by another name": "from os import environ\nX = environ\n",
    "reads words": "import sys\nX = sys.argv[1]\n",
    "does it in a loop": "for x in range(3):\n    pass\n",
    "only sometimes": "if 1:\n    pass\n",
    "another reporter": "DOIT_CONFIG = {'reporter': 'json'}\n",
    "settings from elsewhere": "X = {'verbosity': 0}\nDOIT_CONFIG = X\n",
    "settings merged": "X = {}\nDOIT_CONFIG = {**X}\n",
    "its own load_tasks": "def load_tasks(x):\n    pass\nload_tasks(1)\n",
    "its own Path": "def Path(x):\n    print(x)\nPath(1)\n",
    "a builtin that is not": "def sorted(x):\n    print(x)\nsorted(1)\n",
    "a creator that asks": "def task_x():\n    return {'actions': [input()]}\n",
    "a creator that looks": "from pathlib import Path\ndef task_x():\n    return {'doc': Path().resolve()}\n",
    "a creator that is decorated": "from doit import create_after\n@create_after('x')\ndef task_x():\n    return {}\n",
    "a creator that sets things": "import os\ndef task_x():\n    os.x = 1\n    return {}\n",
    "a default that acts": "def f(x=print('x')):\n    pass\n",
    "a package that is not ours": "import yaml\n",
    "a module that is not there": "import nowhere\n",
    "a star": "from mine.tasks import *\n",
    "a module that acts": "import mine.loud\n",
    "a module of a package that acts": "from loud import calm\n",
    "patches": "import ovtasks\novtasks.x = 1\n",
    "deletes": "x = 1\ndel x\n",
    "raises": "raise SystemExit\n",
    "no Python": "def\n",
    "no text": "\0\n",
    "a walrus": "[x := 1]\n",
    "a subscript": "X = {'a': 1}['a']\n",
    "executes": "exec('1')\n",
    "a class with more": "class A:\n    print(1)\n",
    "a metaclass": "class A(metaclass=type):\n    pass\n",
}


@pytest.mark.parametrize("text", [*PLAIN.values(), *MORE.values()], ids=[*PLAIN, *MORE])
def test_plain(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").touch()
    (tmp_path / "mine/tasks.py").write_text(MINE, encoding="utf-8")
    (tmp_path / "mine/loud.py").write_text("print('hello')\n", encoding="utf-8")
    (tmp_path / "loud").mkdir()
    (tmp_path / "loud/__init__.py").write_text("print('hello')\n", encoding="utf-8")
    (tmp_path / "loud/calm.py").touch()
    (tmp_path / "dodo.py").write_text(text, encoding="utf-8")
    assert (plain_files(tmp_path / "dodo.py") is not None) is (text in PLAIN.values())


def test_this_checkouts_own_is_plain() -> None:
    files = plain_files(ROOT / "dodo.py")
    assert files is not None and ROOT / "tests/support/tasks.py" in files


def test_nothing_is_known_of_other_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doit_answer(["build:a"]) is None


@pytest.mark.slow
def test_ctrl_c_while_doit_is_loaded(checkout: Workbench) -> None:
    """At any moment: no traceback, from doitw either."""
    assert doitw(checkout, "list").returncode == 0
    for delay in (0.02, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5):
        with checkout.start(["./doitw", "list"]) as process:
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGINT)
            _, told = process.communicate(timeout=60)
        if "Fatal Python error: init_" not in told:  # its own start, before there is anything of ours
            assert "Traceback" not in told, (delay, told)
