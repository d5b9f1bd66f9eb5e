"""Who may be updated: what ``ov update`` says before it does anything, and what a dry run shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovtasks.cli.main import run
from tests.deploy.project import enter
from tests.support.projects import CLOUD, write

DEBIAN = "{kind: cloud_image, url: https://example.org/debian-13.qcow2, base_user: debian}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter(tmp_path / "p", f"vms: {{web: {{source: {DEBIAN}}}, db: {{source: {CLOUD}}}}}\n", monkeypatch)


def ov(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(words)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("entries", "words", "place", "edit"),
    [
        (
            None,
            "web",
            "deploy.yml:1:1",
            "add `deploy: {vm:web: {disposable: true}}`; or ov deploy add vm:web --disposable",
        ),
        (
            "# ours\ndeploy:\n  vm:db: {}\n",
            "web",
            "deploy.yml:2:1",
            "to `deploy:` in line 2 add `vm:web: {disposable: true}`",
        ),
        ("k8s: {}\n", "web", "deploy.yml:2:1", "add `deploy: {vm:web: {disposable: true}}`"),
        (
            "deploy:\n  mine:\n    target: vm\n    vm: web\n    lifecycle: dev\n",
            *("web", "deploy.yml:2:3", "below `mine:` in line 2 add `disposable: true`; or ov deploy add mine --disp"),
        ),
        (
            "deploy:\n  vm:web:\n    disposable: false\n",
            *("web", "deploy.yml:3:17", "write there `disposable: true` in place of `disposable: false`"),
        ),
        # neither the flag of the VM's other instances nor that of an outer deployment counts
        (
            "deploy: {vm:web: {disposable: true}}\n",
            "web -i dev",
            "deploy.yml:1:1",
            "`deploy:` in line 1 add `vm:web/dev: {disp",
        ),
        ("deploy:\n  vm:web/dev: {disposable: true}\n", "web", "deploy.yml:1:1", "add `vm:web: {disposable: true}`"),
        (
            "deploy:\n  vm:db: {disposable: true, nested: {web: {target: vm, vm: web}}}\n",
            "web",
            ":1:1",
            "vm:web: {disp",
        ),
        ("deploy: {vm:web: {lifecycle: dev}, vm:db: {disposable: true}}\n", "vm:web", ":1:10", "below `vm:web:`"),
    ],
)
def test_refused(
    project: Path, capsys: pytest.CaptureFixture[str], entries: str | None, words: str, place: str, edit: str
) -> None:
    """Exit code 3 with file, line and edit, in a dry run, too. The edit lets it go on."""
    if entries is not None:
        write(project, entries, "deploy.yml")
    for more in ((), ("--dry-run",)):
        code, out, err = ov(capsys, "update", *words.split(), *more)
        assert (code, out) == (3, "") and "is not disposable" in err and edit in err, err
        assert f"{place}: web" in err.splitlines()[0], err
        assert ("lifecycle dev allows nothing" if "lifecycle" in (entries or "") else "lifecycle (unset)") in err


@pytest.mark.parametrize(
    ("entries", "words", "code", "message"),
    [
        ("{}", "wbe", 2, "no VM 'wbe' is declared"),
        ("{}", "vm:wbe", 2, "is not a deployment"),
        ("{}", "vm:web -i dev", 2, "-i goes with the name of a VM, and 'vm:web' is a deployment's"),
        ("{vm:web: {disposable: true}}", "web -i Dev", 2, "'Dev' is not a valid instance name"),
        ("{a: {target: vm, vm: web, disposable: true}, b: {target: vm, vm: web}}", "web", 2, "several deployments"),
        ("{vm:web: {disposable: true}}", "web --reuse-image --rebuild-image", 2, "not allowed with"),
        ("{vm:web: {disposable: true, add_layers: [tolls]}}", "web", 2, "tools"),
        ("{vm:web: {disposable: true, add_layers: [tools]}}", "web", 3, "--allow-root-tasks"),
        ("{vm:web: {disposable: true}}", "web --reuse-image", 1, "the disk of web is not built"),
        ("{vm:web: {disposable: true}}", "web --timeout soon", 2, "'soon' is not a number of seconds"),
    ],
)
def test_wrong(
    project: Path, capsys: pytest.CaptureFixture[str], entries: str, words: str, code: int, message: str
) -> None:
    write(project, f"deploy: {entries}\n", "deploy.yml")
    status, _, err = ov(capsys, "update", *words.split())
    assert status == code and message in err, err


def test_dry_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step with its reason; nothing is written."""
    options = "install_opts: {allow_root_tasks: true}"
    entry = f"vm:web: {{disposable: true, lifecycle: dev, add_layers: [tools], {options}, eval: [{{command: 'true'}}]}}"
    write(project, f"deploy: {{{entry}}}\n", "deploy.yml")
    code, out, err = ov(capsys, "update", "web", "--dry-run", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [step["step"] for step in found["steps"]] == ["build", "create", "wait", "apply", "check"]
    assert found["vm"] == "web" and found["deployment"] == "vm:web" and found["lifecycle"] == "dev"
    build, create, *_, check = found["steps"]
    assert "disk:web" in build["does"] and any("disk:web" in one for one in build["reasons"])
    assert create["reasons"] == ["it does not exist"] and check["does"] == "1 check"
    code, out, _ = ov(capsys, "update", "web", "--dry-run", "--reuse-image")
    assert code == 0 and "web is disposable by vm:web (deploy.yml:1:" in out and "--reuse-image" in out
    code, out, _ = ov(capsys, "update", "web", "--dry-run", "--rebuild-image")
    assert code == 0 and "fetch" in out
    assert not (project.parent / "XDG_DATA_HOME").exists()


def test_an_ephemeral_one_may_be(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, "deploy: {vm:web: {ephemeral: true}}\n", "deploy.yml")
    code, out, err = ov(capsys, "update", "web", "--dry-run")
    assert code == 0 and "web -i eph-" in out, err
