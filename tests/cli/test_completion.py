"""What the shells offer behind ``ov`` and ``doitw``, by real shells in a terminal, too."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from ovtasks.cli.complete import candidates, main
from ovtasks.cli.names import MAGIC
from ovtasks.cli.offers import offers
from ovtasks.host.paths import cache_home, data_home
from ovtasks.project.load import load_project
from tests.support.projects import write
from tests.support.tmux import terminal

VMS = """# ours
defaults: {cpus: 1}
vms:
  .base:
    ram: 1G
  plain:
    ram: 1G
    abstract: true  # a template, too
  short: {ram: 1G, "abstract": true}
  web:  # the first
    source: {kind: bootstrap}
    disk_size: 2G
  "db":
    source: {kind: bootstrap}
    disk_size: 2G
  desk:
    source: {kind: bootc, image: base}
    disk_size: 9G
"""
DEPLOY = """deploy:
  ci: {target: vm, vm: web}
vm: {more: {source: {kind: bootstrap}, disk_size: 2G}}
"""
TABLE = (
    ("ov va", "validate"),
    ("ov vm snap", "snapshot"),
    ("ov vm snapshot r", "revert"),
    ("ov -q -C . vm ssh w", "web"),
    ("ov vm ssh ", "db desk more web"),
    ("ov vm start web ", "db desk more"),
    ("ov vm create --ssh-", "--ssh-key"),
    ("ov vm wait web --for s", "ssh"),
    ("ov vm ssh web -i ", "dev"),
    ("ov vm snapshot revert web ", "one two"),
    ("ov vm clone new --from d", "db desk"),
    ("ov deploy add vm:w", "vm:web vm:web/dev"),
    ("ov deploy add c", "ci"),
    ("ov deploy add ci t", "tools"),
    ("ov image build ", "base desk"),
    ("ov settings set vm.a", "vm.accel"),
    ("ov eval libvirt guest f", "file fsfreeze fsinfo fstrim"),
    ("ov plan build:w", "build:web"),
    ("ov plan d", "db define: deploy: desk destroy: disk:"),
    ("ov plan deploy:c", "deploy:ci"),
    ("ov plan create:web -i ", "dev"),
    ("ov why ", "base: convert: disk: image: install: key: seed:"),
    ("ov why disk:", "disk:db disk:more disk:web"),
    ("ov why convert:", "convert:desk"),
    ("ov why image:", "image:base image:desk"),
    ("ov settings set vm.rootfs e", "ext4"),
    ("ov settings reset vm.tr", "vm.transport"),
    ("ov vm create web --ssh-key ", "auto generate none"),
    ("ov vm build --ty", "--type"),
    ("ov vm build --type ", "qcow2 raw"),
    ("ov vm build web --type=r", "--type=raw"),
    ("ov vm build --transport=oci", "--transport=oci --transport=oci-archive"),
    ("ov vm wait --for=b", "--for=boot"),
    ("ov vm wait --json --j", ""),
    ("ov deploy add ci --add-layer tools --add", "--add-layer"),
    ("ov vm clone new --from web/", "web/dev"),
    ("ov vm clone new --from web@", "web@one web@two"),
    ("ov deploy status vm:web/", "vm:web/dev"),
    ("ov eval libvirt snapshot r", "revert"),
    ("ov -C/nowhere vm ssh ", "web"),
    ("ov migrate v", "vm-spec"),
    ("ov vm import some --name ", ""),
    ("ov vm rm w", "web"),
    ("ov completion z", "zsh"),
    ("ov init clu", "cluster"),
    ("ov vm ls", "ls"),
    ("ov --vers", "--version"),
    ("ov vm nonsense ", ""),
    ("ov nonsense x ", ""),
    ("ov vm ssh web -- l", ""),
    ("doitw cre", "create:"),
    ("./doitw build:", "build:db build:desk build:more build:web"),
    ("doitw disk:w", "disk:web"),
    ("doitw build:web --ty", "--type"),
    ("doitw test --", "--fast"),
    ("doitw deploy:vm:d", "deploy:vm:db deploy:vm:desk"),
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path, VMS)
    write(tmp_path, DEPLOY, "deploy.yml")
    write(tmp_path, 'images: {base: {ref: "quay.io/a/b:1"}}\n', "image.yml")
    write(tmp_path, "packages: [git]\n", "layers/tools/layer.yml")
    monkeypatch.chdir(tmp_path)
    for name in ("ov-web", "ov-web-dev"):
        (data_home() / "vm" / name).mkdir(parents=True)
    listed = {"snapshots": [{"name": "one"}, {"name": "two"}]}
    (data_home() / "vm/ov-web/snapshots.json").write_text(json.dumps(listed))
    return tmp_path


def offered(line: str) -> str:
    *words, current = line.split(" ")
    return " ".join(candidates([*words, current]))


def test_what_is_offered(project: Path) -> None:
    """With the cache of an earlier command: flow style, and what other files include, is known by it."""
    for path in project.rglob("*.yml"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    load_project(project)
    offers()
    before = sorted(project.rglob("*"))
    for line, expected in TABLE:
        assert offered(line) == expected, line
    assert sorted(project.rglob("*")) == before, "nothing is written"


def test_without_a_cache_the_text_is_read(project: Path) -> None:
    assert offered("ov vm ssh ") == "db desk web" and offered("doitw build:w") == "build:web"
    assert not (project / "output").exists()


@pytest.mark.parametrize("text", ["vms: [", "\0\xff", "vms:\n- a\n", "", "vms:\n  a b c\n"])
def test_a_broken_project_offers_commands(
    project: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "vms.yml").write_text(text, encoding="latin-1")
    (project / "output/.ov").mkdir(parents=True)
    (project / "output/.ov/spec.cache").write_bytes(MAGIC + b"\0\0\0\0garbage")
    assert main(["ov", "vm", "ssh", ""]) == 0 and main(["ov", "vm", "snapshot", "revert", "web", "x", ""]) == 0
    assert main([]) == 0 and main(["ov"]) == 0
    assert main(["ov", "vm", "res"]) == 0
    said = capsys.readouterr()
    words = [line.partition("\t")[0] for line in said.out.splitlines()]
    assert words[-3:] == ["reset", "restart", "resume"] and said.err == ""


def test_outside_of_a_project_vms_that_exist_are_offered(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert offered("ov vm stop ") == "web" and offered("ov vm stop web -i ") == "dev"


def test_commands_are_kept_until_the_code_changes(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another version would be found: by its files' times."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = cache_home() / "completion"
    made = offers()
    assert place.stat().st_mode & 0o777 == 0o600
    before = place.stat().st_mtime_ns
    assert offers() == made and place.stat().st_mtime_ns == before
    monkeypatch.setattr("ovtasks.cli.offers.__version__", "later")
    assert offers() == made and place.stat().st_mtime_ns != before
    for damage in (b"", b"garbage", b"\xe9\1\0\0\0"):
        place.write_bytes(damage)
        assert offered("ov va") == "validate"
    place.unlink()
    place.symlink_to(tmp_path / "vms.yml")
    assert offered("ov va") == "validate" and (tmp_path / "vms.yml").read_text() == VMS


def test_a_home_that_cannot_be_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert offered("ov va") == "validate"


def test_answers_have_help(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ov", "vm", "ssh-"]) == 0 and main(["ov", "vm", "wait", "--fo"]) == 0
    assert (
        capsys.readouterr().out == "ssh-config\tprint an SSH configuration of the VMs\n--for\twhat to wait for (ssh)\n"
    )


SCRIPTS = {
    "bash": 'eval "$(ov completion bash)"',
    "zsh": 'autoload -U compinit; compinit -u -D; eval "$(ov completion zsh)"',
    "fish": "ov completion fish | source",
}
START = {"bash": "bash --norc --noprofile", "zsh": "zsh -f", "fish": "fish --no-config"}
TYPED = (
    ("ov vm snapshot rev", "ov vm snapshot revert "),
    ("ov vm ssh w", "ov vm ssh web "),
    ("ov vm wait web --for cl", "ov vm wait web --for cloud-init "),
    ("ov vm build --type=r", "ov vm build --type=raw "),
    ("ov plan build:w", "ov plan build:web "),
    ("ov clone --", "ov clone --"),
    ("doitw disk:w", "doitw disk:web "),
    ("ov vm scp web -i dev a-fi", "ov vm scp web -i dev a-file-here "),
)
"""What is typed before the Tab key, and what then stands there."""


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_in_a_real_shell(shell: str, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No line is run: each is removed again."""
    assert shutil.which(shell), f"install {shell}"
    load_project(project)
    (project / "a-file-here").touch()
    with terminal(tmp_path_factory.mktemp("t")) as screen:
        homes = " ".join(f"{name}={os.environ[name]}" for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"))
        homes += "".join(f" {name}={project}" for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR"))
        place = f"PATH={Path(sys.executable).parent}:$PATH {homes}"
        screen.line(f"cd {project} && {place} {START[shell]}")
        screen.line(f"{SCRIPTS[shell]}; echo re''ady")
        screen.expect("ready")
        for number, (typed, whole) in enumerate(TYPED):
            screen.type("C-u")
            screen.type("-l", typed)
            screen.type("Tab")
            screen.type("-l", f"<{number}>")
            screen.expect(f"{whole}<{number}>")
        screen.type("C-u")
        screen.type("-l", "ov vm re")
        screen.type("Tab", "Tab", "Tab")
        for one in ("reset", "restart", "resume"):
            screen.expect(one)
