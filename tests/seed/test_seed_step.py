"""The steps around the seed, run by the real executor."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path
from typing import Any

import pytest

from ovtasks.errors import InputError
from ovtasks.graph.content import secret_digest_of
from ovtasks.graph.execute import execute
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.step import Step
from ovtasks.host.paths import instance_directory
from ovtasks.host.progress import SilentProgress
from ovtasks.host.run import run
from ovtasks.instance.keys import resolve_keys
from ovtasks.project.model import CloudInit, Injection, Network, Project, Ssh, User, VmSpec
from ovtasks.sources.seed import key_step, seed_inputs, seed_step
from tests.seed.test_schema import FULL, changes
from tests.support.programs import python
from tests.support.specs import KEY, KEY2, bootc, bootstrap, cloud_image, vm

GENERATE = Ssh(user="eve", key_source="generate")
DISK = "disk:web"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with one key."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".ssh"
    folder.mkdir(mode=0o700)
    (folder / "id_ed25519.pub").write_text(KEY + "\n")
    return folder


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Build:
    """A project whose disk step is imagined: only its receipt exists."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder / "project", {}, ())
        self.locks = folder / "locks"
        self.locks.mkdir()
        self.progress = Notes()

    def seed(self, spec: VmSpec, disk: str = "sha256:d1", type: str = "qcow2") -> tuple[bool, Receipt]:
        needs = {DISK: Receipt(DISK, {}, {}, (), disk)}
        if key := key_step(spec):
            needs[key.name] = self.run(key, {})[1]
        step = seed_step(spec, self.project, type, DISK)
        return self.run(step, {name: needs[name] for name in step.needs})

    def run(self, step: Step, needs: dict[str, Receipt]) -> tuple[bool, Receipt]:
        ran = execute(step, needs, self.locks, self.progress)
        receipt = Receipt.load(step.receipt)
        assert receipt is not None
        return ran, receipt

    def read(self, name: str, type: str = "qcow2") -> str:
        return run(["isoinfo", "-R", "-x", f"/{name}", "-i", self.project.artifacts("web", type) / "seed.iso"]).stdout


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def test_the_image_is_private_and_complete(build: Build) -> None:
    _ran, receipt = build.seed(vm(user="eve", block=CloudInit(network={"ethernets": {}})))
    iso = build.project.artifacts("web", "qcow2") / "seed.iso"
    assert iso.stat().st_mode & 0o777 == 0o600
    assert iso.parent.stat().st_mode & 0o777 == 0o755
    assert sorted(p.name for p in iso.parent.iterdir()) == ["seed.iso", "seed.iso.receipt.json"]
    assert receipt.digest == secret_digest_of(iso, "seed:web") == receipt.outputs[0].content
    assert hashlib.sha256(iso.read_bytes()).hexdigest() not in Path(f"{iso}.receipt.json").read_text(encoding="utf-8")
    assert KEY in build.read("user-data")
    assert f"instance-id: {receipt.facts['instance_id']}\n" in build.read("meta-data")
    assert "version: 2" in build.read("network-config")


def test_a_second_run_does_nothing(build: Build) -> None:
    assert build.seed(vm(user="eve"))[0]
    assert not build.seed(vm(user="eve"))[0]


def test_instance_id_follows_the_disk(build: Build) -> None:
    first = build.seed(vm())[1].facts["instance_id"]
    assert isinstance(first, str)
    assert len(first) == 23
    assert first.startswith("ov-")
    assert build.seed(vm(block=CloudInit(timezone="UTC")))[1].facts["instance_id"] == first
    assert build.seed(vm(), disk="sha256:d2")[1].facts["instance_id"] != first
    assert build.seed(dataclasses.replace(vm(), name="db"))[1].facts["instance_id"] != first
    assert build.seed(vm())[1].facts["instance_id"] == first


def test_names_and_places(build: Build) -> None:
    step = seed_step(vm(), build.project, "raw", DISK)
    assert step.name == "seed:web:raw"
    assert step.targets == (build.project.root / "output/web/raw/seed.iso",)
    assert seed_step(vm(), build.project, "qcow2", DISK).name == "seed:web"
    assert build.seed(vm(), type="raw")[0]
    assert build.read("meta-data", "raw")


def test_the_users_key_is_read_and_watched(build: Build, home: Path) -> None:
    spec = vm(user="eve")
    assert key_step(spec) is None
    assert seed_step(spec, build.project, "qcow2", DISK).reads == (home / "id_ed25519.pub",)
    build.seed(spec)
    (home / "id_ed25519.pub").write_text(KEY2 + "\n")
    assert build.seed(spec)[0]
    assert KEY2 in build.read("user-data")


def test_a_pair_of_its_own(build: Build) -> None:
    spec = vm(ssh=GENERATE)
    key = key_step(spec)
    assert key is not None
    assert key.shared
    assert seed_step(spec, build.project, "qcow2", DISK).needs == (DISK, key.name)
    build.seed(spec)
    public = instance_directory("ov-web") / "id_ed25519.pub"
    assert public.read_text().strip() in build.read("user-data")
    assert not build.seed(spec)[0]
    public.with_suffix("").unlink()  # lost: another pair, another seed
    before = public.read_text()
    assert build.seed(spec)[0]
    assert public.read_text() != before
    assert public.read_text().strip() in build.read("user-data")


def test_an_existing_pair_survives_a_lost_receipt(build: Build) -> None:
    spec = vm(ssh=GENERATE)
    _ran, first = build.seed(spec)
    key = key_step(spec)
    assert key is not None
    key.receipt.unlink()
    assert build.seed(spec) == (False, first)


def test_auto_without_any_key_says_so(build: Build, home: Path) -> None:
    (home / "id_ed25519.pub").unlink()
    build.seed(vm(user="eve"))
    assert len(build.progress.notes) == 1
    assert "web: no public key in" in build.progress.notes[0]
    assert (instance_directory("ov-web") / "id_ed25519").exists()


def test_no_key_goes_through_a_closed_channel(build: Build) -> None:
    spec = vm(ssh=dataclasses.replace(GENERATE, cloud_init=Injection.DISABLED))
    assert seed_step(spec, build.project, "qcow2", DISK).needs == (DISK,)
    build.seed(spec)
    assert "ssh-ed25519" not in build.read("user-data")


def test_a_bad_key_file_blames_vms_yml(build: Build) -> None:
    with pytest.raises(InputError) as e:
        seed_step(vm(ssh=Ssh(key_source="/none/key.pub")), build.project, "qcow2", DISK)
    assert str(e.value.where) == "vms.yml:2:3"
    assert e.value.message == "the public key /none/key.pub does not exist"
    assert "key_source: generate" in (e.value.hint or "")


def inputs(spec: VmSpec) -> Any:
    return seed_inputs(spec, resolve_keys(spec.ssh, Path("/none")))


@pytest.mark.parametrize(("name", "changed"), [pytest.param(n, c, id=n) for n, c in changes()])
def test_every_field_of_the_block_is_an_input(name: str, changed: CloudInit) -> None:
    assert inputs(vm(block=changed)) != inputs(vm(block=FULL))


BASE = vm(user="eve")


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        pytest.param(vm(user="dan"), False, id="ssh.user"),
        pytest.param(vm(cloud_image(base_user="eve"), user="eve"), False, id="base_user"),
        pytest.param(vm(cloud_image("https://x.example/ubuntu.img"), user="eve"), False, id="other distribution"),
        pytest.param(vm(bootstrap(), user="eve"), False, id="kind"),
        pytest.param(dataclasses.replace(BASE, name="db"), False, id="name"),
        pytest.param(vm(ssh=Ssh(user="eve", key_source="none")), False, id="key_source"),
        pytest.param(vm(ssh=Ssh(user="eve", cloud_init=Injection.DISABLED)), False, id="channel"),
        pytest.param(vm(cloud_image("https://y.example/debian-13.qcow2"), user="eve"), True, id="same distribution"),
        pytest.param(vm(user="eve", block=CloudInit()), True, id="empty block"),
        pytest.param(vm(ssh=Ssh(user="eve", port=2200)), True, id="port"),
        pytest.param(vm(ssh=Ssh(user="eve", smbios=Injection.DISABLED)), True, id="other channel"),
        pytest.param(vm(ssh=Ssh(user="eve", cloud_init=Injection.ENABLED)), True, id="channel said aloud"),
        pytest.param(
            dataclasses.replace(BASE, ram=1, cpus=9, disk_size=1, network=Network(mac="52:54:00:00:00:01")),
            True,
            id="hardware",
        ),
    ],
)
def test_what_else_is_an_input(spec: VmSpec, same: bool) -> None:
    assert (inputs(spec) == inputs(BASE)) is same


def test_a_block_opens_the_channel_of_bootc() -> None:
    assert "key" not in inputs(vm(bootc(), user="root"))
    assert "key" in inputs(vm(bootc(), user="root", block=CloudInit()))


def test_making_steps_loads_no_heavy_module() -> None:
    script = (
        "import sys; from pathlib import Path; from tests.support.specs import vm\n"
        "from ovtasks.sources.seed import *; from ovtasks.project.model import Project, Ssh\n"
        "seed_step(vm(), Project(Path('/x'), {}, ()), 'qcow2', 'd'); key_step(vm(ssh=Ssh(key_source='generate')))\n"
        "print([m for m in ('yaml', 'pycdlib', 'cryptography', 'requests', 'jsonschema') if m in sys.modules])"
    )
    assert python("-c", script).stdout == "[]\n"


def test_inputs_are_cheap() -> None:
    spec = vm(user="eve", block=dataclasses.replace(FULL, users=(User("dan"),) * 20))
    start = time.process_time()
    for _ in range(100):
        key_step(spec)
        seed_step(spec, Project(Path("/x"), {}, ()), "qcow2", DISK)
    assert (time.process_time() - start) / 100 < 0.005
