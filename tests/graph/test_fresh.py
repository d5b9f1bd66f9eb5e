"""When a step runs, and what plan and why say about it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ovtasks.errors import EXIT_INPUT, EXIT_STALE
from tests.support.workbench import ROOT, Workbench, cloud_vm, ran

pytestmark = pytest.mark.slow

DISK = "output/a/qcow2/disk.qcow2"


def built(bench: Workbench, image: Path) -> None:
    bench.write({"a": cloud_vm(image)})
    bench.ov("vm", "build", "a")


def test_reason_is_given_key_by_key(bench: Workbench, small_image: Path) -> None:
    built(bench, small_image)
    bench.write({"a": cloud_vm(small_image, disk_size="40G", cloud_init={"packages": ["vim"]})})
    reasons = bench.reasons()
    assert reasons["disk:a"] == ["disk_size: 1G → 40G"]
    assert any("packages" in text and "vim" in text for text in reasons["seed:a"])
    assert bench.ov("plan", "--exit-code", code=EXIT_STALE).stdout.startswith("fresh  fetch:@")
    bench.ov("vm", "build")
    assert bench.ov("plan", "--exit-code").stdout.endswith("nothing to do: 4 fresh\n")


def test_maybe_when_a_step_before_runs(bench: Workbench, small_image: Path) -> None:
    built(bench, small_image)
    (bench.root / DISK).unlink()
    assert bench.plan("a")["disk:a"] == "run"
    assert bench.plan("a")["seed:a"] == "maybe"
    assert bench.reasons("a")["disk:a"] == ["target missing: disk.qcow2"]
    assert ran(bench.doit("build:a").stdout) == ["disk:a"]


def test_hand_edited_target(bench: Workbench, small_image: Path) -> None:
    built(bench, small_image)
    (bench.root / DISK).chmod(0o644)
    with (bench.root / DISK).open("ab") as file:
        file.write(b"x")
    assert bench.reasons()["disk:a"] == ["target changed by hand: disk.qcow2"]
    assert ran(bench.doit("build:a").stdout) == ["disk:a"]


def test_edited_in_place_with_the_same_size_and_time(bench: Workbench, small_image: Path) -> None:
    """The inode's change time is not kept, so this shows what stat can see: size, time and inode."""
    built(bench, small_image)
    seed = bench.root / "output/a/qcow2/seed.iso"
    data = bytearray(seed.read_bytes())
    data[-1] ^= 1
    seed.chmod(0o600)
    seed.write_bytes(data)
    assert bench.reasons()["seed:a"] == ["target changed by hand: seed.iso"]


def test_touch_copy_and_restored_cache_count_as_unchanged(bench: Workbench, small_image: Path) -> None:
    built(bench, small_image)
    os.utime(bench.root / DISK, (1, 1))
    assert ran(bench.doit("build:a").stdout) == []
    output = bench.root / "output"
    shutil.copytree(output, bench.root / "copy")  # new inodes and times, as a CI cache restores them
    shutil.rmtree(output)
    (bench.root / "copy").rename(output)
    assert ran(bench.doit("build:a").stdout) == []
    assert "nothing to do" in bench.ov("vm", "build", "a").stderr or ran(bench.ov("vm", "build", "a").stderr) == []


def test_damaged_receipt_is_no_receipt(bench: Workbench, small_image: Path) -> None:
    built(bench, small_image)
    (bench.root / f"{DISK}.receipt.json").write_text('{"format": 1, "step"', encoding="utf-8")
    assert bench.reasons()["disk:a"] == ["no receipt: not known how it was made"]
    assert ran(bench.doit("build:a").stdout) == ["disk:a"]


def test_comments_order_and_other_vms_change_nothing(bench: Workbench, small_image: Path) -> None:
    bench.write({"a": cloud_vm(small_image), "b": cloud_vm(small_image)})
    bench.ov("vm", "build")
    before = bench.files()
    data = json.loads((bench.root / "vms.yml").read_text(encoding="utf-8"))["vms"]
    turned = {name: dict(reversed(vm.items())) for name, vm in reversed(data.items())}
    turned["c"] = cloud_vm(small_image)
    (bench.root / "vms.yml").write_text("# a comment\n" + json.dumps({"vms": turned}, indent=3), encoding="utf-8")
    bench.ov("vm", "build", "a", "b")
    assert bench.files() == before


@pytest.mark.slow
def test_fast_path_sees_everything_that_plan_sees(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    key = tmp_path / "id.pub"
    key.write_text(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUKNVhYYDLU14NQxYBZrLcAz2dRRzQ8RSYVHxS1fsL3 me\n", encoding="utf-8"
    )
    bench.write({"a": cloud_vm(small_image, ssh={"key_source": str(key), "user": "me"})})
    bench.ov("vm", "build", "a")

    def fast() -> bool:
        return bench.ov("vm", "build", "a").stderr == "nothing to do\n"

    assert fast()
    text = key.read_text(encoding="utf-8")
    key.write_text(text.replace(" me", " you"), encoding="utf-8")
    assert not fast() and fast()
    for change in (
        lambda: (bench.root / DISK).unlink(),
        lambda: (bench.root / f"{DISK}.receipt.json").unlink(),
        lambda: next((bench.root / "output/a").glob("base-*")).unlink(),
        lambda: (bench.root / "overthink.yml").write_text("includes: []\n", encoding="utf-8"),
        lambda: bench.write({"a": cloud_vm(small_image, disk_size="3G", ssh={"key_source": "none"})}),
    ):
        change()
        assert not fast(), change
        assert bench.ov("plan", "--exit-code").returncode == 0
        bench.ov("vm", "build", "a")
        assert fast()


def test_fast_path_sees_the_variables_that_paths_name(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    for name in ("mine", "yours"):
        (tmp_path / name).mkdir()
        key = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUKNVhYYDLU14NQxYBZrLcAz2dRRzQ8RSYVHxS1fsL3 {name}\n"
        (tmp_path / name / "id.pub").write_text(key, encoding="utf-8")
    bench.env["KEYS_OF_TEST"] = str(tmp_path / "mine")
    bench.write({"a": cloud_vm(small_image, ssh={"key_source": "${KEYS_OF_TEST}/id.pub", "user": "me"})})
    bench.ov("vm", "build", "a")
    assert bench.ov("vm", "build", "a").stderr == "nothing to do\n"
    bench.env["KEYS_OF_TEST"] = str(tmp_path / "yours")
    assert ran(bench.ov("vm", "build", "a").stderr) == ["seed:a"]


def test_fast_path_ignores_damage(bench: Workbench, small_image: Path) -> None:
    built(bench, small_image)
    manifest = bench.root / "output/.ov/manifest/ov a"
    whole = manifest.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2 :] = bytes(len(whole) - len(whole) // 2)
    for content in (b"\x00garbage", b"", whole[:-100], bytes(damaged)):
        manifest.write_bytes(content)
        assert bench.ov("vm", "build", "a").stdout.splitlines()[0] == DISK
    bench.ov("vm", "build", "a")


@pytest.mark.slow
def test_fast_path_shares_large_manifests_among_processes(bench: Workbench, small_image: Path, tmp_path: Path) -> None:
    """More files than one process looks at alone; a change among the last is seen, and damage ends no child late."""
    chunk = 160  # of files; so many VMs as a real one needs would take long to build
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(f"from ovtasks.graph import manifest\nmanifest.CHUNK = {chunk}\n")
    bench.env["PYTHONPATH"] = f"{site}{os.pathsep}{ROOT}"
    count = chunk // 4 + 20
    bench.write({f"vm{number}": cloud_vm(small_image) for number in range(count)})
    bench.ov("vm", "build")
    assert bench.ov("vm", "build").stderr == "nothing to do\n"
    for name in ("vm0", f"vm{count - 1}"):
        seed = bench.root / f"output/{name}/qcow2/seed.iso"
        seed.write_bytes(seed.read_bytes()[:-1] + b"x")
        assert ran(bench.ov("vm", "build").stderr) == [f"seed:{name}"]
        assert bench.ov("vm", "build").stderr == "nothing to do\n"


@pytest.mark.slow
def test_why_and_graph(bench: Workbench, small_image: Path) -> None:
    built(bench, small_image)
    text = bench.ov("why", "disk:a").stdout
    assert "state: fresh" in text and "disk_size: 1G" in text and "receipt: " in text
    data = json.loads(bench.ov("why", "fetch:a", "--json").stdout)
    assert data["step"].startswith("fetch:@") and data["receipt"]["facts"]["fetched"]["url"] == str(small_image)
    wrong = bench.ov("why", "dsk:a", code=EXIT_INPUT).stderr
    assert "no step is named 'dsk:a'" in wrong and "disk:a" in wrong
    assert "->" in bench.ov("graph", "a", "--format", "dot").stdout
    assert bench.ov("graph", "a", "--format", "mermaid").stdout.startswith("flowchart LR")
    assert "<svg" in bench.ov("graph", "a", "--format", "svg").stdout


def test_plan_shows_the_age_of_fetched_images(bench: Workbench, small_image: Path) -> None:
    built(bench, small_image)
    receipt = next((bench.root / "output/.images").glob("*.fetched.json.receipt.json"))
    data = json.loads(receipt.read_text(encoding="utf-8"))
    data["facts"]["fetched_epoch"] -= 3 * 86400
    receipt.write_text(json.dumps(data), encoding="utf-8")
    assert "fetched 3 days ago" in bench.ov("plan").stdout
