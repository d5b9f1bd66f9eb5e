"""Every command of doit on a real project: no traceback, no untruth, near names, and signals as they were before."""

from __future__ import annotations

import contextlib
import dbm
import os
import shlex
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
from doit.doit_cmd import DoitMain

from ovtasks.graph.commands import _is_ours
from ovtasks.graph.goal_examples import EXAMPLES
from tests.support.programs import attempt, call
from tests.support.workbench import DODO, DOIT, Workbench, cloud_vm, ran

OWN = """
def task_mine():
    return {"actions": ["echo mine"], "file_dep": ["output/demo/qcow2/seed.iso"], "targets": ["mine.out"]}


def task_say():
    return {"actions": [lambda words: print(words)], "pos_arg": "words", "uptodate": [False]}
"""


@pytest.fixture
def project(bench: Workbench, small_image: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Two VMs, two tasks of the user's, nothing built; we are in its folder."""
    bench.write({"demo": cloud_vm(small_image), "web": cloud_vm(small_image)})
    (bench.root / "dodo.py").write_text(DODO + OWN, encoding="utf-8")
    monkeypatch.chdir(bench.root)
    return bench


def doit(*words: str) -> int:
    sys.modules.pop("dodo", None)  # of another test
    code: int = DoitMain().run(list(words))
    return code


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["build:dmo"], "did you mean 'build:demo'?"),
        (["biuld:demo"], "did you mean 'build:demo'?"),
        (["bild:dem"], "did you mean 'build:demo'?"),
        (["dsik:web"], "did you mean 'disk:web'?"),
        (["demo"], "did you mean 'build:demo'?"),
        (["mien"], "did you mean 'mine'?"),
        (["clean", "disk:wbe"], "did you mean 'disk:web'?"),
        (["info", "sed:demo"], "did you mean 'seed:demo'?"),
        (["forget", "creat:demo"], "did you mean 'create:demo'"),
        (["ignore", "zzz"], "doit list --all shows every task"),
        (["list", "-s", "disk", "--all"], "options stand before the names of tasks"),
        (["reset-dep", "mne"], "did you mean 'mine'?"),
        (["build:x*"], "doit list --all shows every task"),
        (["clean", "x*"], "doit list --all shows every task"),
        (["build:demo", "--szie", "2G"], "doit help build:demo"),
        (["list", "--template", "{nix}"], "{name}, {doc}"),
        (["clean", "--all"], "doit help clean"),
        (["run", "--szie"], "doit help run"),
    ],
)
def test_near_names(project: Workbench, words: list[str], near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doit(*words) == 3
    said = capsys.readouterr().err
    assert said.startswith("ERROR: ") and f"  hint: {near}" in said and said.count("\n") == 2
    assert not (project.root / "output/demo").exists()


def test_arguments_of_tasks_are_no_names(project: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    assert doit("say", "build:dmo", "x*") == 0
    assert "['build:dmo', 'x*']" in capsys.readouterr().out


def states(text: str) -> dict[str, str]:
    return {line.split()[1]: line.split()[0] for line in text.splitlines()}


@pytest.mark.slow
def test_states_are_true(project: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("build", "build:demo", "build:web", "disk", "disk:demo", "fetch", "fetch:demo", "create", "seed:demo")
    doit("list", "--all", "--status")
    found = states(capsys.readouterr().out)
    assert {found[name] for name in names} == {"R"} and found["destroy"] == found["destroy:demo"] == "U"
    for name, reason in (("build:demo", "disk:demo would run"), ("disk:demo", "never built"), ("build", "build:web")):
        assert doit("info", name) == 1
        told = capsys.readouterr().out
        assert "status     : run" in told and f" * {reason}" in told
    assert doit("info", "create:demo") == 1
    assert " * new instance" in capsys.readouterr().out

    assert doit("build:demo") == 0
    capsys.readouterr()
    doit("list", "--all", "--status")
    found = states(capsys.readouterr().out)
    assert [found[name] for name in names] == ["R", "U", "R", "R", "U", "U", "U", "R", "U"]
    assert doit("info", "build:demo") == 0 and doit("info", "fetch:demo") == 0 and doit("info", "build") == 1
    capsys.readouterr()

    os.truncate(project.root / "output/demo/qcow2/disk.qcow2", 100)
    assert doit("info", "disk:demo") == 1
    assert " * target changed by hand: disk.qcow2" in capsys.readouterr().out
    assert ran(project.doit("build").stdout) == ["disk:demo", "disk:web", "seed:web"]
    doit("list", "--status", "--all", "build", "disk")
    found = states(capsys.readouterr().out)
    assert found["build"] == "U" and found["disk:demo"] == "U"
    assert found["disk:demo:raw"] == found["disk"] == "R"  # this dodo.py's `doit disk` makes the raw ones, too
    (project.root / "pyproject.toml").write_text('[tool.doit]\nloader = "ovtasks"\n', encoding="utf-8")
    assert states(project.doit("list", "--status", "build", "disk").stdout) == {"build": "U", "disk": "U"}
    assert ran(project.doit("disk").stdout) == []


@pytest.mark.slow
def test_every_command_ends_well(project: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    for built in (False, True):
        if built:
            assert doit("build", "mine") == 0
        for words in (
            ["dumpdb"],
            ["list"],
            ["list", "--all", "--deps", "--private"],
            ["list", "--quiet", "--sort", "definition"],
            ["info", "mine"],
            ["info"],
            ["info", "build:demo", "disk:demo"],
            ["help", "build:demo"],
            ["help", "dumpdb"],
            ["tabcompletion", "--hardcode-tasks"],
            ["ignore"],
            ["ignore", "disk:demo"],
            ["forget", "disk:demo"],
            ["reset-dep", "disk:demo"],
            ["reset-dep"],
            ["clean", "--dry-run"],
            ["forget", "--all"],
            ["clean", "--clean-all"],
            ["clean", "--forget", "mine"],
        ):
            code = doit(*words)
            told = capsys.readouterr()
            assert "Traceback" not in told.err and code in {0, 1, 3, None}, (words, told)
            assert code != 3 or told.err.startswith("ERROR: "), (words, told)
        assert not list((project.root / "output").glob("[!.]*/**/*.qcow2"))


@pytest.mark.slow
def test_dumpdb_shows_what_is_remembered(project: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    assert doit("dumpdb") == 3
    assert "there is no database output/.ov/doit.db" in capsys.readouterr().err
    assert doit("build:demo", "mine") == 0
    capsys.readouterr()
    assert doit("dumpdb") == 0
    assert "mine -> {" in capsys.readouterr().out
    assert doit("dumpdb", "--db-file", "vms.yml") == 3
    assert "vms.yml is not a database of doit" in capsys.readouterr().err


def test_a_project_of_doits_own_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dodo.py").write_text("def task_a():\n    return {'actions': ['echo a']}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert doit() == 0
    assert doit("b") == 3
    assert 'Invalid parameter: "b"' in capsys.readouterr().err
    code, said = doit("dumpdb"), capsys.readouterr()
    if dbm.whichdb(".doit.db") == "dbm.ndbm":  # Debian 12 without python3-gdbm: doit itself cannot
        assert code == 3 and "ndbm does not support iteration" in said.err
    else:
        assert not code and "'a' -> " in said.out


@pytest.mark.parametrize(
    ("table", "ours"), [("task (id, data)", True), ("Dict (key, value)", False), ("doit (task_id, task_data)", False)]
)
def test_whose_sqlite_a_database_is(tmp_path: Path, table: str, ours: bool) -> None:
    """dbm of Python 3.13 and doit's sqlite3 back end are SQLite, too."""
    path = tmp_path / "a b#.db"
    with contextlib.closing(sqlite3.connect(path)) as opened:
        opened.execute(f"create table {table}")
        opened.commit()
    assert _is_ours(path) is ours
    path.write_bytes(path.read_bytes()[:50])  # cut: who reads ours tells and heals
    assert _is_ours(path)
    path.write_bytes(b"")
    assert not _is_ours(path)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


def test_signals_are_as_they_were(project: Workbench) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    for words in (
        *(["list", "--all", "--status"], ["info", "disk:demo"], ["say"], ["build:dmo"], ["clean", "--dry-run"]),
        *(["-n", "2", "-P", "thread", "say"], ["-n", "2", "-P", "thread", "build:dmo"]),
    ):
        doit(*words)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert [signal.getsignal(number) for number in SIGNALS] == before
    (project.root / "dodo.py").write_text(
        DODO + "import signal\n\ndef look():\n    print('handler', signal.getsignal(signal.SIGTERM))\n\n"
        "def task_look():\n    return {'actions': [look], 'uptodate': [False]}\n",
        encoding="utf-8",
    )
    seen = project.doit("look").stdout.splitlines()
    assert any("orderly_end" in line for line in seen), seen


LOOKING = """
import signal

def handlers(where):
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM")
    found = [signal.getsignal(getattr(signal, name)) for name in names]
    print(where, *[getattr(one, "__qualname__", str(one)) for one in found])
    return False

handlers("before")
load_tasks(globals())
handlers("loaded")

def task_look():
    handlers("made")
    return {"actions": [(handlers, ["run"])], "uptodate": [(handlers, ["asked"])]}
"""


def _handlers(said: str) -> dict[str, set[str]]:
    lines = [line.partition(" ")[::2] for line in said.splitlines()]
    wheres = ("before", "loaded", "made", "asked", "run")
    return {where: {rest for first, rest in lines if first == where} for where in wheres}


@pytest.mark.parametrize("words", [["list"], ["list", "--all", "--status"], ["info", "look"], ["help", "look"]])
def test_loading_and_listing_change_no_handler(
    project: Workbench, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a dodo.py nor what it is asked while tasks are listed sees another handler than that of its process."""
    dodo = DODO.replace("load_tasks(globals())", LOOKING)
    (project.root / "dodo.py").write_text(dodo, encoding="utf-8")

    def own(number: int, frame: object) -> None:
        pass

    before = {number: signal.signal(number, own) for number in SIGNALS}
    try:
        doit(*words)
        assert all(signal.getsignal(number) is own for number in SIGNALS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    inside = _handlers(capsys.readouterr().out)
    outside = _handlers(project.doit(*words, code=None).stdout)
    for seen, expected in ((inside, {" ".join([own.__qualname__] * 4)}), (outside, outside["before"])):
        assert seen["before"] == seen["loaded"] == seen["made"] == expected
        assert seen["asked"] <= expected and not seen["run"]
    script = LOOKING.partition("load_tasks")[0]  # what a program that we start inherits: nohup's have SIGHUP ignored
    assert outside["before"] == _handlers(project.run([sys.executable, "-c", script]).stdout)["before"]


def test_a_run_puts_handlers_back_however_it_ends(project: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    dodo = DODO.replace("load_tasks(globals())", LOOKING) + (
        "import os\n\ndef task_fail():\n    return {'actions': ['false']}\n\n"
        "def task_end():\n    return {'actions': [lambda: os.kill(os.getpid(), signal.SIGTERM)]}\n"
    )
    (project.root / "dodo.py").write_text(dodo, encoding="utf-8")

    def own(number: int, frame: object) -> None:
        pass

    before = {number: signal.signal(number, own) for number in SIGNALS}
    try:
        for words in (["look"], ["fail"], ["end"]):
            with pytest.raises(SystemExit) if words == ["end"] else contextlib.nullcontext():
                doit(*words)
            signal.alarm(0)  # what the signal has set to end the process, should it hang
            assert all(signal.getsignal(number) is own for number in SIGNALS[:3]), words
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    (ran,) = _handlers(capsys.readouterr().out)["run"]
    assert ran.split()[:3] == ["orderly_end.<locals>.end"] * 3, "a run has handlers of its own"


@pytest.mark.slow
@pytest.mark.parametrize("words", [["list", "--all"], ["list", "-s"], ["build:demo"], ["clean", "-n"], ["dumpdb"]])
def test_whatever_the_streams_are(project: Workbench, words: list[str]) -> None:
    """A reader that went, a full disk, closed streams, a locale without our letters."""
    project.doit("build:web", "mine")
    cases = {
        "reader gone": ("{} | true", {}),
        "full": ("{} > /dev/full", {}),
        "out closed": ("{} >&-", {}),
        "all closed": ("{} <&- >&- 2>err", {}),
        "latin-1": ("{}", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}),
        "ascii": ("{}", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict"}),
    }
    command = shlex.join([*DOIT, *words])
    for name, (shell, env) in cases.items():
        script = f"set -o pipefail; {shell.format(command)}"
        done = attempt("bash", "-c", script, env={**os.environ, **env}, timeout=100)
        told = done.stderr + ((project.root / "err").read_text() if (project.root / "err").exists() else "")
        assert "Traceback" not in told and "Exception ignored" not in told, (name, told)
        assert done.returncode == (1 if name in {"reader gone", "full"} else 0), (name, done)
        assert name != "full" or "hint: " in told


@pytest.mark.slow
def test_a_project_that_may_not_be_written(project: Workbench) -> None:
    """What a run with sudo leaves behind, or a read-only checkout: one message with the way out, from every command."""
    project.doit("build:demo")
    seed = project.root / "output/demo/qcow2/seed.iso"
    seed.unlink()
    prefix: list[str] = []
    if os.geteuid() == 0:
        script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@"'
        prefix = ["unshare", "--mount", "sh", "-c", script, str(project.root)]
    else:
        call("chmod", "-R", "a-w", project.root)
    try:
        for words, code in (
            (["build:demo"], 1),
            (["list", "-s"], 0),
            (["clean", "build:demo"], 1),
            (["forget", "build:demo"], 1),
        ):
            done = attempt(*prefix, *DOIT, *words, cwd=project.root, timeout=100)
            assert "Traceback" not in done.stderr and done.returncode == code, done
            assert code == 0 or "hint: " in done.stdout + done.stderr, done
    finally:
        call("chmod", "-R", "u+w", project.root)


def test_interrupted_while_loading(project: Workbench) -> None:
    (project.root / "dodo.py").write_text(DODO + "def task_x():\n    raise KeyboardInterrupt\n", encoding="utf-8")
    done = project.doit("list", code=130)
    assert done.stderr == "interrupted\n"


def test_a_folder_that_cannot_be_read_is_one_vms_affair(project: Workbench, small_image: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.symlink_to(key)
    project.write({"demo": cloud_vm(small_image, ssh={"key_source": str(key)}), "web": cloud_vm(small_image)})
    done = project.run([*DOIT, "--continue", "build"])
    assert "Traceback" not in done.stderr and "disk:web" in ran(done.stdout), done


@pytest.mark.parametrize(
    ("task", "lines"),
    [
        ("build:demo", ["doit build:demo", "doit build:demo --size 40G"]),
        ("create", ["doit create:web", "doit create:web -i test --ram 8G"]),
        ("disk:web", ["doit disk:web", "doit info disk:web"]),
        ("fetch:web", ["doit fetch:web", "doit info fetch:web"]),
        ("mine", []),
        ("task", []),
        ("clean", []),
    ],
)
def test_help_of_a_task_ends_with_examples(
    project: Workbench, task: str, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert doit("help", task) == 0
    _, heading, examples = capsys.readouterr().out.partition("\nExamples:\n")
    assert [line.split("  ")[1] for line in examples.splitlines()] == lines and bool(heading) == bool(lines)


def test_help_of_a_misspelt_task(project: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    assert doit("help", "biuld:demo") == 3
    assert "did you mean 'build:demo'?" in capsys.readouterr().err


def test_examples_of_help_can_be_typed(project: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    """They begin with tasks, and their options are those that help lists for these."""
    for verb, lines in EXAMPLES.items():
        for line in lines:
            program, *words = shlex.split(line)
            assert program == "doit" and any(word.startswith(f"{verb}:") for word in words)
            options = [word for word in words if word.startswith("-")] if verb != "deploy" else []
            if verb != "deploy":  # which this project has none of
                assert doit("help", f"{verb}:web") == 0
            said = capsys.readouterr().out
            assert all(f"  {option}" in said for option in options), line
