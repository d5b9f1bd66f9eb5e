"""What the shells offer behind ``ov`` and ``doitw``, by real shells in a terminal, too."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from ovtasks.cli.complete import candidates, main
from ovtasks.host.paths import data_home
from ovtasks.project.load import load_project
from tests.support.projects import write
from tests.support.tmux import terminal

VMS = """# ours
vms:
  web:  # the first
    source: {kind: bootstrap}
    disk_size: 2G
  "db":
    source: {kind: bootstrap}
    disk_size: 2G
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
    ("ov vm ssh ", "db more web"),
    ("ov vm start web ", "db more"),
    ("ov vm create --ssh-", "--ssh-key"),
    ("ov vm wait web --for s", "ssh"),
    ("ov vm ssh web -i ", "dev"),
    ("ov vm snapshot revert web ", "one two"),
    ("ov vm clone new --from d", "db"),
    ("ov deploy add vm:w", "vm:web"),
    ("ov deploy add c", "ci"),
    ("ov deploy add ci t", "tools"),
    ("ov image build ", "base"),
    ("ov settings set vm.a", "vm.accel"),
    ("ov eval libvirt guest f", "file fsfreeze fsinfo fstrim"),
    ("ov plan build:w", "build:web"),
    ("ov completion z", "zsh"),
    ("ov init clu", "cluster"),
    ("ov vm ls", "ls"),
    ("ov --v", "--version"),
    ("ov vm nonsense ", ""),
    ("ov nonsense x ", ""),
    ("ov vm ssh web -- l", ""),
    ("doitw cre", "create:"),
    ("./doitw build:", "build:db build:more build:web"),
    ("doitw deploy:vm:d", "deploy:vm:db"),
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
    before = sorted(project.rglob("*"))
    for line, expected in TABLE:
        assert offered(line) == expected, line
    assert sorted(project.rglob("*")) == before, "nothing is written"


def test_without_a_cache_the_text_is_read(project: Path) -> None:
    assert offered("ov vm ssh ") == "db web" and offered("doitw build:w") == "build:web"
    assert not (project / "output").exists()


@pytest.mark.parametrize("text", ["vms: [", "\0\xff", "vms:\n- a\n", "", "vms:\n  a b c\n"])
def test_a_broken_project_offers_commands(
    project: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "vms.yml").write_text(text, encoding="latin-1")
    (project / "output/.ov").mkdir(parents=True)
    (project / "output/.ov/spec.cache").write_bytes(b"ovspec4\n\0\0\0\0garbage")
    assert main(["ov", "vm", "ssh", ""]) == 0 and main(["ov", "vm", "snapshot", "revert", "web", "x", ""]) == 0
    assert main([]) == 0 and main(["ov"]) == 0
    assert main(["ov", "vm", "res"]) == 0
    said = capsys.readouterr()
    assert said.out.split()[-3:] == ["reset", "restart", "resume"] and said.err == ""


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_in_a_real_shell(shell: str, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    start = {"bash": "bash --norc --noprofile", "zsh": "zsh -f", "fish": "fish --no-config"}[shell]
    assert shutil.which(shell), f"install {shell}"
    script = {
        "bash": 'eval "$(ov completion bash)"',
        "zsh": 'autoload -U compinit; compinit -u -D; eval "$(ov completion zsh)"',
        "fish": "ov completion fish | source",
    }[shell]
    with terminal(tmp_path_factory.mktemp("t")) as screen:
        scripts = Path(sys.executable).parent
        place = f"HOME={project} PATH={scripts}:$PATH XDG_DATA_HOME={os.environ['XDG_DATA_HOME']}"
        screen.line(f"cd {project} && {place} {start}")
        screen.line(f"{script}; echo re''ady")
        screen.expect("ready")
        for typed, whole in (
            ("ov vm res", "ov vm res"),
            ("ov vm snapshot rev", "ov vm snapshot revert "),
            ("ov vm ssh w", "ov vm ssh web "),
            ("ov plan build:w", "ov plan build:web "),
        ):
            screen.type("-l", typed)
            screen.type("Tab")
            screen.expect(whole.rstrip())
            screen.type("C-u")
