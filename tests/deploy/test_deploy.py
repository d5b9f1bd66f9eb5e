"""ov deploy add: what is new is applied, what is edited is redone, what is unchanged costs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest

from ovtasks.deploy.receipts import receipts_of
from tests.deploy.guest import Guest, version

pytestmark = pytest.mark.slow  # each begins with a guest that nobody knows

BASE = "tasks:\n- {write: /etc/motd, content: hello}\n- {mkdir: /opt/base}\n"
TOOLS = "requires: [base]\ntasks:\n- {write: /opt/base/tools, content: one}\n"
OTHER = "tasks:\n- {write: /srv/other, content: other}\n"
ALLOWED = "install_opts: {allow_root_tasks: true}"


def actions(text: str) -> Mapping[str, str]:
    """Layer → action, of ``--json``."""
    return {one["layer"]: one["action"] for one in json.loads(text)["layers"]}


def three(guest: Guest, order: str = "tools, other") -> None:
    guest.layer("base", BASE)
    guest.layer("tools", TOOLS)
    guest.layer("other", OTHER)
    guest.deploy_yml(f"# ours\ndeploy:\n  web-vm: {{target: vm, add_layers: [{order}], {ALLOWED}}}\n")


def test_apply_edit_and_take_out(guest: Guest) -> None:
    guest.layer("base", BASE)
    guest.layer("tools", TOOLS)
    said = guest.ov("deploy", "add", "vm:web", "tools", "--allow-root-tasks", "--lifecycle", "dev", "--json")
    assert actions(said) == {"base": "apply", "tools": "apply"}
    assert guest.file("/etc/motd") == "hello" and guest.file("/opt/base/tools") == "one"
    entry = "deploy:\n  vm:web:\n    lifecycle: dev\n    add_layers:\n    - tools\n"
    assert (guest.project / "deploy.yml").read_text() == entry
    private = [*guest.folder.glob("layers*"), *guest.folder.glob("layers/*"), guest.folder / "deploy.log"]
    assert len(private) == 6 and all(path.stat().st_mode & 0o077 == 0 for path in private if path.is_file())

    guest.connections()
    stamp = (guest.folder / "layers.stamp.json").stat()
    guest.ov("deploy", "add", "vm:web")
    assert "web: nothing to do" in guest.said and guest.connections() == 0
    assert (guest.project / "deploy.yml").read_text() == entry and stamp.st_size

    guest.layer("other", OTHER)
    guest.ov("deploy", "add", "web", code=2)
    assert "did you mean 'vm:web'?" in guest.said
    guest.ov("deploy", "add", "vm:web", "--add-layer", "other", "--allow-root-tasks")
    assert "applied other" in guest.said and "redone" not in guest.said and guest.connections() == 1
    other = guest.version("srv/other")

    guest.layer("base", BASE.replace("hello", "good morning"))
    plan = guest.ov("deploy", "plan", "vm:web")
    assert re.search(r"redo +base +write /etc/motd: changed", plan), plan
    assert re.search(r"redo +tools +it needs base, which is redone", plan), plan
    assert re.search(r"keep +other +unchanged", plan), plan
    assert plan == guest.ov("plan", "deploy:vm:web") and guest.ov("plan", "--exit-code", "deploy:vm:web", code=4)
    guest.ov("deploy", "add", "vm:web", "--allow-root-tasks")
    assert "redone base, tools" in guest.said and guest.connections() == 1
    assert guest.file("/etc/motd") == "good morning" and guest.file("/opt/base/tools") == "one"
    assert guest.version("srv/other") == other

    guest.ov("deploy", "del", "vm:web", "other")
    assert "undone other" in guest.said and guest.file("/srv/other") is None and guest.file("/etc/motd")
    assert "- other" not in (guest.project / "deploy.yml").read_text()


def test_order_of_independent_layers_and_a_shorter_list(guest: Guest) -> None:
    three(guest)
    assert actions(guest.ov("deploy", "add", "web-vm", "--json")) == dict.fromkeys(("base", "tools", "other"), "apply")
    guest.connections()
    three(guest, "other, base, tools")
    guest.ov("deploy", "add", "vm:web")
    assert "nothing to do" in guest.said and guest.connections() == 0
    three(guest, "other, base")
    guest.ov("deploy", "add", "web-vm")
    assert "undone tools" in guest.said and guest.file("/opt/base/tools") is None and guest.file("/etc/motd")
    three(guest, "")
    guest.ov("deploy", "add", "web-vm")
    assert "undone base, other" in guest.said or "undone other, base" in guest.said
    assert not receipts_of(guest.record) and not (guest.root / "etc/motd").exists()
    assert not [*(guest.root / "var/lib/ovtasks/layers").iterdir()]


def test_gates_refuse_before_anything_is_done(guest: Guest) -> None:
    guest.layer("base", BASE + "- cmd: touch /opt/cmd\n")
    guest.ov("deploy", "add", "vm:web", "base", code=3)
    assert re.search(r"layers/base/layer\.yml:2:3: base: 'write /etc/motd' runs as root, which is not all", guest.said)
    assert re.search(r"\n  \S*layer\.yml:4:3: base: .*runs as root", guest.said)
    assert "hint: --allow-root-tasks, or allow_root_tasks: true in install_opts of vm:web" in guest.said
    assert not (guest.project / "deploy.yml").exists() and guest.connections() == 0
    assert not (guest.folder / "deploy.log").exists()


def test_what_the_system_cannot_do(guest: Guest) -> None:
    guest.layer("base", OTHER + "distros: {debian: {copr: [user/x]}}\n")
    guest.ov("deploy", "add", "vm:web", "base", "--allow-root-tasks", "--allow-repo-changes", code=3)
    assert "copr" in guest.said and "hint: --skip-incompatible leaves it out" in guest.said
    words = ("deploy", "add", "vm:web", "base", "--allow-root-tasks", "--allow-repo-changes", "--skip-incompatible")
    guest.ov(*words)
    assert "base: left out: " in guest.said and guest.file("/srv/other") == "other"


def test_a_command_that_fails(guest: Guest) -> None:
    three(guest)
    guest.layer("tools", TOOLS + "- cmd: 'seq 1 30; echo oh no; exit 7'\n")
    guest.ov("deploy", "add", "web-vm", code=1)
    assert re.search(r"layers/tools/layer\.yml:4:3: tools: .* failed with exit status 7", guest.said)
    shown = guest.said.partition("exit status 7")[2]
    assert "\n    30\n    oh no\n" in shown and "\n    12\n" in shown and "\n    11\n" not in shown
    assert f"all of its output: {guest.folder}/deploy.log" in guest.said and "--from tools" in guest.said
    log = (guest.folder / "deploy.log").read_text()
    assert "tools | 1\n" in log and "tools | oh no\n" in log
    assert {name: one.state.value for name, one in receipts_of(guest.record).items()} == {
        "base": "whole",
        "tools": "begun",
    }
    assert "differs" in guest.ov("deploy", "list")
    guest.ov("deploy", "add", "web-vm", "--from", "nobody", code=2)
    assert "they are base, tools, other" in guest.said
    guest.layer("base", BASE.replace("hello", "changed"))
    guest.layer("tools", TOOLS)
    guest.ov("deploy", "add", "web-vm", "--from", "tools")
    assert guest.file("/etc/motd") == "hello" and guest.file("/srv/other") == "other"
    guest.ov("deploy", "add", "web-vm")
    assert guest.file("/etc/motd") == "changed"


def test_off_and_made_anew(guest: Guest) -> None:
    three(guest)
    guest.ov("deploy", "add", "web-vm")
    guest.off()
    guest.ov("deploy", "add", "web-vm")
    assert "nothing to do" in guest.said and not (guest.folder / "running").exists()
    guest.layer("other", OTHER.replace("content: other", "content: new"))
    guest.ov("deploy", "add", "web-vm")
    assert guest.file("/srv/other") == "new" and (guest.folder / "running").exists()
    guest.anew()
    assert "was made anew: no layer is in it" in guest.ov("deploy", "plan", "web-vm")
    guest.ov("deploy", "add", "web-vm")
    assert "applied base, tools, other" in guest.said and guest.file("/srv/other") == "new"


def test_dry_run_writes_and_asks_nothing(guest: Guest) -> None:
    guest.layer("base", BASE)
    before = {path: version(path) for path in guest.folder.rglob("*")}
    plan = guest.ov("deploy", "add", "vm:web", "base", "--allow-root-tasks", "--dry-run")
    assert "web: was never asked: what it runs is a guess" in plan and "write /etc/motd  (allow_root_tasks)" in plan
    found = json.loads(guest.ov("deploy", "add", "vm:web", "base", "--allow-root-tasks", "--dry-run", "--json"))
    assert found["guessed"] and found["layers"][0]["operations"][0]["name"] == "write /etc/motd"
    assert {path: version(path) for path in guest.folder.rglob("*")} == before and guest.connections() == 0
    assert not (guest.project / "deploy.yml").exists()


def test_an_images_layers_and_what_is_wrong(guest: Guest) -> None:
    (guest.project / "image.yml").write_text(
        "images:\n  top: {base: mid, layers: [tools]}\n"
        "  mid: {base: docker.io/library/debian, layers: [other]}\n  bare: {ref: quay.io/x/y}\n"
    )
    three(guest)
    (guest.project / "deploy.yml").unlink()
    plan = guest.ov("deploy", "add", "vm:web", "top", "--allow-root-tasks", "--dry-run", "--json")
    assert [*actions(plan)] == ["other", "base", "tools"]
    for words, said in (
        (("vm:web", "bare"), "image 'bare' has no layers"),
        (("vm:web", "tols"), "ov deploy: there is no layer 'tols'\n  hint: did you mean 'tools'?"),
        (("vm:wep",), "'vm:wep' is not a deployment\n  hint: did you mean 'vm:web'?"),
        (("vm:web/A_b",), "'A_b' is not a valid instance name"),
    ):
        guest.ov("deploy", "add", *words, code=2)
        assert said in guest.said
    guest.deploy_yml("deploy: {web-vm: {target: vm}, 'vm:web': {}}\n")
    guest.ov("deploy", "add", "vm:web", code=2)
    assert "several deployments are for web" in guest.said and "web-vm (" in guest.said


def test_secrets_variables_and_checks(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.layer(
        "base",
        "secret_requires: [{name: TOKEN}]\nsecret_accepts: [{name: KEY}, {name: NOBODY}]\n"
        "env_requires: [{name: COLOR}]\nenv_accepts: [{name: SIZE, default: big}]\n"
        'tasks:\n- cmd: printf %s "$TOKEN $KEY $COLOR $SIZE ${NOBODY-none}" >/srv/values\n'
        "eval:\n- {file: /srv/values, exists: true}\n",
    )
    guest.deploy_yml(f"deploy:\n  web-vm: {{target: vm, add_layers: [base], {ALLOWED}}}\n")
    guest.ov("deploy", "add", "web-vm", code=2)
    assert "layer base needs the variable COLOR" in guest.said and "env: [COLOR=…] in web-vm" in guest.said
    more = "env: [COLOR=red], eval: [{command: cat /srv/none, exit_status: 0, id: mine}]"
    guest.deploy_yml(f"deploy:\n  web-vm: {{target: vm, add_layers: [base], {more}, {ALLOWED}}}\n")
    monkeypatch.setenv("KEY", "from outside")
    guest.ov("deploy", "add", "web-vm", "--verify", code=1)
    assert "a check fails:" in guest.said and "mine" in guest.said
    token, rest = (guest.file("/srv/values") or "").split(" ", 1)
    assert rest == "from outside red big none" and re.fullmatch(r"[0-9a-f]{64}", token)
    kept = [path for path in guest.folder.rglob("*") if path.is_file() and token in path.read_text(errors="replace")]
    assert [path.name for path in kept] == ["layers.secrets.json"] and kept[0].stat().st_mode & 0o777 == 0o600
    receipt = receipts_of(guest.record)["base"]
    assert receipt.digest.startswith("secret:scrypt:")
    guest.deploy_yml((guest.project / "deploy.yml").read_text().replace("cat /srv/none", "cat /srv/values"))
    guest.connections()
    guest.ov("deploy", "add", "web-vm")
    assert guest.connections() == 0
    monkeypatch.setenv("KEY", "another")
    guest.ov("deploy", "add", "web-vm", "--verify")
    assert guest.file("/srv/values") == f"{token} another red big none"
    vms = (guest.project / "vms.yml").read_text()
    (guest.project / "vms.yml").write_text(f"{vms}  bad: {{rams: 4G}}\n")  # another VM's mistake
    for name in ("web-vm", "web"):
        live = json.loads(guest.ov("eval", "live", name, "--json"))
        assert [(one["name"], one["outcome"]) for one in live["checks"]] == [("file /srv/values", "ok"), ("mine", "ok")]


def test_artifacts(guest: Guest) -> None:
    artifact = "{name: config, path: /srv/config, retrieve_to: 'kube/${vm_name}.yml', mode: '0600'"
    rewrite = "rewrite: [{find: localhost, replace: '${SERVER:-example.org}'}]"
    optional = "{name: more, path: /srv/none, retrieve_to: none, optional: true}"
    task = "tasks:\n- {write: /srv/config, content: at localhost}\n"
    guest.layer("base", f"{task}artifacts: [{artifact}, {rewrite}}}, {optional}]\n")
    guest.ov("deploy", "add", "vm:web", "base", "--allow-root-tasks")
    here = guest.project / "kube/web.yml"
    assert here.read_text() == "at example.org" and here.stat().st_mode & 0o777 == 0o600
    assert "more: missing, but optional" in guest.said
    guest.connections()
    guest.ov("deploy", "add", "vm:web")
    assert guest.connections() == 0
    here.unlink()
    guest.ov("deploy", "add", "vm:web")
    assert here.exists() and guest.connections() == 1
    guest.layer("base", f"{task}artifacts: [{artifact}}}, {{name: x, path: /srv/x, retrieve_to: '${{NO}}'}}]\n")
    guest.ov("deploy", "add", "vm:web", code=2)
    assert "nothing says what ${NO} stands for" in guest.said and "layer.yml:3:" in guest.said
    guest.layer("base", f"{task}artifacts: [{artifact}}}, {{name: x, path: /srv/x, retrieve_to: x}}]\n")
    guest.ov("deploy", "add", "vm:web", code=1)
    assert "artifact x: " in guest.said and "optional: true lets it be missing" in guest.said


def test_verify_of_the_entry_runs_until_it_passes_once(guest: Guest) -> None:
    guest.layer("base", "tasks:\n- {mkdir: /srv/x}\neval:\n- {file: /srv/flag, exists: true}\n")
    guest.deploy_yml(
        "deploy:\n  web-vm: {target: vm, add_layers: [base], install_opts: {allow_root_tasks: true, verify: true}}\n"
    )
    for _ in range(2):
        guest.ov("deploy", "add", "web-vm", code=1)
        assert "a check fails" in guest.said
    (guest.root / "srv/flag").touch()
    guest.ov("deploy", "add", "web-vm")
    guest.connections()
    guest.ov("deploy", "add", "web-vm")
    assert guest.connections() == 0
