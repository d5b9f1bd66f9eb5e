"""The wheel, what it is built from, and a repository of its own that uses it with a two-line dodo.py."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import ovtasks
from ovtasks.deploy.own_wheel import own_wheel
from tests.support.checkout import ROOT, environment, run
from tests.support.readme import SHIP
from tests.support.workbench import DODO

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, and the wheel built from that."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, cwd=out, env=environment(), check=True)
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of an environment with nothing but the wheel and what it depends on."""
    target = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(target, with_pip=True)
    pip: list[str | Path] = [target / "bin" / "python", "-m", "pip", "-q", "--disable-pip-version-check"]
    run(*pip, "install", wheel, cwd=target, env=environment(), check=True)
    return target / "bin"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's own folder: an image with its checksum file, ``vms.yml`` and a two-line ``dodo.py``."""
    folder = tmp_path / "my repository"
    folder.mkdir()
    image = tmp_path / "tiny.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", image, "64M", cwd=tmp_path, check=True)
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  tiny.qcow2\n")
    declare(folder, "128M")
    (folder / "dodo.py").write_text(DODO)
    return folder


def declare(folder: Path, disk_size: str) -> None:
    image = (folder.parent / "tiny.qcow2").as_uri()
    (folder / "vms.yml").write_text(
        f"vms:\n  web:\n    source: {{kind: cloud_image, url: '{image}', distro: debian}}\n"
        f"    disk_size: {disk_size}\n    ssh: {{user: me, key_source: generate}}\n"
    )


def test_wheel_has_all_and_only_what_runs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "ovtasks").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    schemas = {f"ovtasks/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    assert schemas
    info = f"ovtasks-{ovtasks.__version__}.dist-info"
    assert {name for name in names if not name.startswith(info)} == sources | schemas
    assert f"{info}/licenses/LICENSE" in names


def test_source_distribution_has_what_builds_the_wheel(dist: Path) -> None:
    (built,) = dist.glob("*.tar.gz")
    assert built.name == f"ovtasks-{ovtasks.__version__}.tar.gz"
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.partition("/")[0] for name in names} == {
        *("ovtasks", "schemas"),
        *(".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"),
    }


def test_both_are_fit_for_an_index(dist: Path) -> None:
    said = run(sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.iterdir()), cwd=dist, check=True).stdout
    assert said.count("PASSED") == 2


def test_wheel_brings_what_commands_read(wheel: Path) -> None:
    """Templates, completion, schemas: files that no import asks for."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        *("ovtasks/cli/templates/vm/vms.yml", "ovtasks/cli/templates/bootc/Containerfile"),
        *(f"ovtasks/cli/completion/{shell}" for shell in ("bash", "fish", "zsh")),
        *("ovtasks/schemas/vms.schema.json", "ovtasks/cli/man.py", "ovtasks/py.typed"),
    ):
        assert name in names, name
    assert not [name for name in names if name.startswith(("tests/", "bench/", "docs/"))]


def test_installed_command_begins_a_project(installed: Path, tmp_path: Path) -> None:
    def ov(*words: str) -> str:
        return run(installed / "ov", *words, cwd=tmp_path, env=environment(), check=True).stdout

    assert ov("--version").split() == ["ov", ovtasks.__version__]
    ov("init", "debian:13")
    ov("validate")
    assert "fetch" in ov("plan")
    ov("man", "--dir", "man")
    assert (tmp_path / "man/man1/ov-vm-create.1").is_file()


def test_hint_for_the_binding_names_where_this_one_came_from(wheel: Path, installed: Path, tmp_path: Path) -> None:
    """No name on an index that may be somebody else's."""
    command = "from ovtasks.host.packages import extra_hint; print(extra_hint('libvirt'))"
    said = run(installed / "python", "-c", command, cwd=tmp_path, check=True).stdout.strip()
    assert said == f"pip install 'ovtasks[libvirt] @ {wheel.as_uri()}'"
    ours = run(sys.executable, "-c", command, cwd=tmp_path, check=True).stdout.strip()
    assert ours.startswith("pip install -e '/") and ours.endswith("[libvirt]'")


def test_an_installation_makes_its_own_wheel(wheel: Path, installed: Path, tmp_path: Path) -> None:
    """A checkout and an installed package make the same one, with the files of the built one, and pip takes it."""
    own = own_wheel()
    built = zipfile.ZipFile(wheel)
    with zipfile.ZipFile(io.BytesIO(own.content())) as made:
        assert made.testzip() is None and {*made.namelist()} == {*built.namelist()}
        differ = {name for name in made.namelist() if made.read(name) != built.read(name)}
        assert {name.rpartition("/")[2] for name in differ} <= {"WHEEL", "RECORD"}
    command = "from ovtasks.deploy.own_wheel import own_wheel as o; print(o().digest)"
    assert run(installed / "python", "-c", command, cwd=tmp_path, check=True).stdout.strip() == own.digest
    (tmp_path / own.name).write_bytes(own.content())
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-deps", "--no-index")
    run(*pip, "--target", tmp_path / "there", tmp_path / own.name, cwd=tmp_path, check=True)
    assert (tmp_path / "there/ovtasks/schemas/vms.schema.json").is_file()


def test_metadata(wheel: Path) -> None:
    info = f"ovtasks-{ovtasks.__version__}.dist-info"
    archive = zipfile.ZipFile(wheel)
    metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
    assert metadata["Version"] == ovtasks.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    said = {one.rpartition(" ")[2] for one in metadata.get_all("Classifier", ()) if ":: 3." in one}
    assert said == {"3.11", "3.12", "3.13", "3.14"}
    assert metadata.get_all("Provides-Extra") == ["dev", "libvirt"]
    assert "ov = ovtasks.cli:main" in archive.read(f"{info}/entry_points.txt").decode()


def test_two_line_dodo_lists_and_builds(installed: Path, project: Path) -> None:
    listed = run(installed / "doit", "list", cwd=project, env=environment(), check=True)
    assert "build" in [line.split()[0] for line in listed.stdout.splitlines()]
    every = run(installed / "doit", "list", "--all", cwd=project, env=environment(), check=True)
    assert "build:web" in [line.split()[0] for line in every.stdout.splitlines()]
    run(installed / "doit", "build:web", cwd=project, env=environment(), check=True)
    disk = project / "output" / "web" / "qcow2" / "disk.qcow2"
    made = disk.stat()
    assert (disk.parent / "seed.iso").exists()
    run(installed / "doit", "build:web", cwd=project, env=environment(), check=True)
    assert (disk.stat().st_ino, disk.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_command_line_works_without_a_dodo(installed: Path, project: Path) -> None:
    (project / "dodo.py").unlink()
    assert run(installed / "ov", "validate", cwd=project, env=environment()).returncode == 0
    built = run(installed / "ov", "vm", "build", "web", cwd=project, env=environment(), check=True)
    assert [Path(line).name for line in built.stdout.splitlines()] == ["disk.qcow2", "seed.iso"]


def test_own_task_runs_after_the_build_and_only_when_it_changed(installed: Path, project: Path) -> None:
    (project / "dodo.py").write_text(SHIP)

    def ship() -> int:
        run(installed / "doit", "ship", cwd=project, env=environment(), check=True)
        return len((project / "shipped").read_text().splitlines())

    assert [ship(), ship()] == [1, 1]
    declare(project, "192M")
    assert [ship(), ship()] == [2, 2]
