"""What a user types: goals, options, listing, cleaning, forgetting — through doit and ov."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.programs import qemu_img
from tests.support.workbench import DODO, Workbench, cloud_vm, make_image, ran

pytestmark = pytest.mark.slow  # many runs of whole programs


def virtual_size(path: Path) -> int:
    info = json.loads(qemu_img("info", "--output=json", path).stdout)
    return int(info["virtual-size"])


def test_first_build_then_nothing(bench: Workbench, small_image: Path) -> None:
    bench.write({"arch": cloud_vm(small_image), "web": cloud_vm(small_image)})
    first = ran(bench.doit("build:arch").stdout)
    assert [name.partition(":")[0] for name in first] == ["fetch", "verify", "disk", "seed"]
    before = bench.files()
    again = bench.doit("build:arch")
    assert ran(again.stdout) == []
    assert bench.files() == before
    assert ran(bench.doit("build").stdout) == ["disk:web", "seed:web"]  # fetch and verify are shared


def test_disk_is_an_overlay_with_relative_backing_file(bench: Workbench, small_image: Path) -> None:
    bench.write({"arch": cloud_vm(small_image)})
    bench.ov("vm", "build", "arch")
    disk = bench.root / "output/arch/qcow2/disk.qcow2"
    info = json.loads(qemu_img("info", "--output=json", disk).stdout)
    assert info["virtual-size"] == 1 << 30
    assert info["backing-filename"].startswith("../base-") and info["backing-filename-format"] == "qcow2"
    moved = bench.root.parent / "moved"
    bench.root.rename(moved)
    qemu_img("check", "-q", moved / "output/arch/qcow2/disk.qcow2")


def test_emptying_the_cache_breaks_nothing(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    bench.write({"arch": cloud_vm(small_image)})
    bench.ov("vm", "build", "arch")
    for path in sorted((tmp_path / "xdg" / "cache").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    qemu_img("check", "-q", bench.root / "output/arch/qcow2/disk.qcow2")
    assert "nothing to do" in bench.ov("vm", "build", "arch").stderr
    bench.ov("vm", "build", "arch", "--size", "2G")
    assert virtual_size(bench.root / "output/arch/qcow2/disk.qcow2") == 2 << 30


def test_options_on_every_kind_of_goal(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image), "b": cloud_vm(small_image)})
    disk_a, disk_b = (bench.root / f"output/{vm}/qcow2/disk.qcow2" for vm in "ab")
    bench.doit("build:a", "--size", "2G", "build:b")
    assert (virtual_size(disk_a), virtual_size(disk_b)) == (2 << 30, 1 << 30)
    bench.doit("build", "--size", "3G")
    assert (virtual_size(disk_a), virtual_size(disk_b)) == (3 << 30, 3 << 30)
    assert ran(bench.doit("build", "--size", "3G").stdout) == []
    assert ran(bench.doit("build:*").stdout) == ["disk:a", "seed:a", "disk:b", "seed:b"]
    bench.ov("vm", "build", "a", "--type", "raw", "--size", "64M")
    raw = bench.root / "output/a/raw/disk.raw"
    assert raw.stat().st_size == 64 << 20
    assert raw.stat().st_blocks * 512 < 1 << 20  # sparse
    assert ran(bench.doit("build:a", "--type", "raw", "--size=64M").stdout) == []
    assert ran(bench.doit("build:a").stdout) == []  # the qcow2 artifacts are untouched


def test_targets_steps_and_parallel_runs(bench: Workbench, small_image: Path) -> None:
    bench.write({vm: cloud_vm(small_image) for vm in ("a", "b", "c", "d")})
    assert ran(bench.doit("output/a/qcow2/disk.qcow2").stdout)[-1] == "disk:a"
    assert ran(bench.doit("seed:a").stdout) == ["seed:a"]
    done = ran(bench.doit("-n", "4", "-P", "thread", "build:b", "build:c", "build:d").stdout)
    assert sorted(done) == sorted(f"{verb}:{vm}" for verb in ("disk", "seed") for vm in "bcd")
    assert ran(bench.doit("-n", "2", "-P", "process", "build").stdout) == []
    assert ran(bench.doit("-a", "disk:a").stdout)[-1] == "disk:a"


def test_list_and_info(bench: Workbench, small_image: Path) -> None:
    bench.write({"arch": cloud_vm(small_image)})
    assert [line.split()[0] for line in bench.doit("list").stdout.splitlines()] == [
        *("build", "create", "define", "destroy", "disk", "fetch", "seed", "start", "stop", "verify"),
    ]
    everything = bench.doit("list", "--all").stdout
    for name in ("build:arch", "fetch:arch", "verify:arch", "disk:arch", "seed:arch"):
        assert f"\n{name} " in f"\n{everything}"
    assert "status     : run\n * never built" in bench.doit("info", "disk:arch", code=1).stdout
    bench.doit("build:arch")
    assert "up-to-date" in bench.doit("info", "disk:arch").stdout


def test_clean_removes_this_vm_only(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image), "b": cloud_vm(small_image)})
    bench.doit("build")
    bench.doit("build:a", "--type", "raw")
    before = bench.files()
    bench.doit("clean", "-n", "build:a")
    assert bench.files() == before
    bench.doit("clean", "build:a")
    assert bench.files() == {name: stat for name, stat in before.items() if not name.startswith("output/a/")}
    assert not (bench.root / "output/a").exists()
    bench.doit("clean", "-c", "build:b")
    assert all(name.startswith("output/.images/") for name in bench.files())
    assert ran(bench.doit("build").stdout) == ["disk:a", "seed:a", "disk:b", "seed:b"]


def test_forget(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image), "b": cloud_vm(small_image)})
    bench.doit("build")
    bench.doit("forget", "build:a")
    assert ran(bench.doit("build").stdout) == ["disk:a", "seed:a"]
    bench.doit("forget", "disk:b")
    assert ran(bench.doit("build").stdout) == ["disk:b"]  # the same bytes came out: the seed stays
    bench.doit("forget", "--all")
    assert len(ran(bench.doit("build").stdout)) == 6


def test_losing_doits_database_costs_nothing(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image)})
    bench.doit("build")
    for path in (bench.root / "output/.ov").glob("doit.db*"):
        path.unlink()
    assert ran(bench.doit("build").stdout) == []


def test_users_own_tasks_and_file_dep_on_our_disk(bench: Workbench, small_image: Path) -> None:
    ship = (
        "\ndef task_ship():\n"
        "    return {'file_dep': ['output/a/qcow2/disk.qcow2'], 'targets': ['shipped'],\n"
        "            'actions': ['cp output/a/qcow2/disk.qcow2 shipped']}\n"
    )
    (bench.root / "dodo.py").write_text(
        "from ovtasks import load_tasks\nload_tasks(globals())\n" + ship, encoding="utf-8"
    )
    bench.write({"a": cloud_vm(small_image)})
    assert ran(bench.doit("ship").stdout)[-1] == "ship"
    assert ran(bench.doit("ship").stdout) == []
    bench.write({"a": cloud_vm(small_image, disk_size="2G")})
    assert ran(bench.doit("ship").stdout) == ["disk:a", "ship"]


def test_ov_prints_artifacts_and_nothing_else_on_stdout(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image), "b": cloud_vm(small_image)})
    expected = [f"output/{vm}/qcow2/{name}" for vm in "ab" for name in ("disk.qcow2", "seed.iso")]
    assert bench.ov("vm", "build").stdout.splitlines() == expected
    assert bench.ov("vm", "build").stdout.splitlines() == expected
    assert bench.ov("-q", "vm", "build", "b").stderr == ""
    folder = bench.root / "deeper"
    folder.mkdir()
    there = Workbench(folder).ov("vm", "build", "b")
    assert there.stdout.splitlines() == [str(bench.root / path) for path in expected[2:]]


def test_continue_builds_what_it_can(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    bench.write({"bad": cloud_vm(tmp_path / "missing.qcow2"), "good": cloud_vm(small_image)})
    failed = bench.ov("vm", "build", "--continue", code=None)
    assert failed.returncode in {1, 2} and "missing.qcow2" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (bench.root / "output/good/qcow2/disk.qcow2").exists()


def test_same_content_under_another_url_stops_at_verify(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(small_image.read_bytes())
    bench.write({"a": cloud_vm(small_image)})
    bench.doit("build")
    bench.write({"a": cloud_vm(copy)})
    verbs = [name.partition(":")[0] for name in ran(bench.doit("build").stdout)]
    assert verbs == ["fetch", "verify"]


def test_other_content_rebuilds_and_drops_the_old_base(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.qcow2"
    make_image(other, mark=b"other")
    bench.write({"a": cloud_vm(small_image)})
    bench.doit("build")
    bench.write({"a": cloud_vm(other)})
    assert (
        any("base image sha256:" in text for text in bench.reasons().get("disk:a", []))
        or bench.plan()["disk:a"] == "maybe"
    )
    bench.doit("build")
    assert len(list((bench.root / "output/a").glob("base-*.qcow2"))) == 1


OWN = """
def task_mine():
    return {"actions": ["echo mine"], "verbosity": 2}


def task_group():
    yield {"basename": "other", "actions": ["echo other"], "verbosity": 2}


"""


@pytest.mark.parametrize("loader", ["doit's own", "ours"])
def test_plain_doit_builds_and_runs_the_users_tasks(loader: str, bench: Workbench, small_image: Path) -> None:
    """Never a verb such as ``destroy``; tasks that name themselves are left to the user's ``default_tasks``."""
    (bench.root / "dodo.py").write_text(OWN + DODO, encoding="utf-8")
    if loader == "ours":
        (bench.root / "pyproject.toml").write_text('[tool.doit]\nloader = "ovtasks"\n', encoding="utf-8")
    bench.write({"arch": cloud_vm(small_image)})
    plain = bench.doit().stdout
    assert ran(plain)[-3:] == ["verify:@" + ran(plain)[-3].partition("@")[2], "disk:arch", "seed:arch"]
    assert ".  mine" in plain and "other" not in plain and "destroy" not in plain
    assert ".  other" in bench.doit("other").stdout


NEEDY = """from ovtasks import load_tasks
load_tasks(globals())


def task_after():
    return {"actions": ["echo after"], "task_dep": ["build:web"], "setup": ["create:web"]}
"""


@pytest.mark.parametrize(
    "words", [["build:arch"], ["build:arch", "--size", "2G"], ["disk:arch"], ["info", "build:arch"]]
)
def test_tasks_of_the_user_that_need_another_vm(words: list[str], bench: Workbench, small_image: Path) -> None:
    """doit wants all that its tasks name to exist, also for a goal that has nothing to do with it."""
    bench.write({"arch": cloud_vm(small_image), "web": cloud_vm(small_image)})
    (bench.root / "dodo.py").write_text(NEEDY)
    bench.doit("build:arch")
    assert "ERROR" not in bench.doit(*words).stderr
    assert not (bench.root / "output/web").exists()
