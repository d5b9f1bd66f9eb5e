"""``cloud_init.ov_install``: the program ``ov`` in the guest, as the first step of a deployment.

It is recorded like a layer, so it is looked at, redone when it changes, and undone as layers are. ``vms.yml`` asks for
it in so many words, so no gate stands before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ovtasks.deploy.own_wheel import OwnWheel, brings_wheel, own_wheel
from ovtasks.errors import InputError
from ovtasks.layers.fragments import quoted, text_upload
from ovtasks.layers.operation import Bringer, Operation, operation_digest
from ovtasks.layers.plan import LayerPlan
from ovtasks.project.layer_model import LayerSpec
from ovtasks.project.model import OvInstall, VmSpec
from ovtasks.seed.cloud_init import OV_PROGRAM
from ovtasks.values.urls import public

LAYER = "ov_install"
"""The name in records and messages. It is the field's, so that a project may have a layer ``ov``."""
VENV = "/usr/local/lib/ovtasks/venv"
MARK = f"{VENV}/ovtasks.digest"
"""The file that says which wheel is in it; written last."""

_RUNS = """ov_runs() {
    if "$1" --version 2>/dev/null || "$1" version 2>/dev/null; then return; fi
    ov_fail "$1 does not run: $("$1" --version 2>&1 | tail -n 3)"
}
"""
_PYTHON = """ov_python=
ov_seen=
for ov_one in python3 python3.14 python3.13 python3.12 python3.11; do
    ov_version=$("$ov_one" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    ov_seen="$ov_seen $ov_version"
    if "$ov_one" -c 'import sys; sys.exit(sys.version_info < ({oldest}))'; then
        ov_python=$ov_one
        break
    fi
done
[ -n "$ov_python" ] || ov_fail "ov needs Python {words} or newer, and the guest has${ov_seen:- none}: \\
add it to cloud_init.packages, or write ov_install: {strategy: skip}"
"$ov_python" -c 'import venv, ensurepip' 2>/dev/null || ov_fail "the guest's Python has no venv: \\
add its package (python3-venv in Debian and Ubuntu) to cloud_init.packages"
"""


def program_plan(vm: VmSpec, environment: Mapping[str, str], layers: Iterable[LayerSpec]) -> LayerPlan | None:
    """The step; None if the VM has no ``ov_install``.

    ``environment`` is the deployment's, whose ``PIP_…`` variables pip sees. ``layers`` are the deployment's.

    :raises InputError: a layer has the step's name. :raises OvError: no wheel can be made of this installation.
    """
    wanted = vm.asked_ov
    if wanted is None:
        return None
    for layer in layers:
        if layer.name == LAYER:
            hint = f"name it otherwise: cloud_init.ov_install of {vm.name} is recorded under that name"
            raise InputError(f"a layer cannot be called {LAYER}", hint=hint, where=layer.where)
    if brings_wheel(vm):
        operation = _install(vm, environment)
    else:
        operation = _download(wanted, vm) if wanted.strategy == "url" else _check(vm)
    return LayerPlan(LAYER, vm.where, (operation,), (operation_digest(operation),))


def _install(vm: VmSpec, environment: Mapping[str, str]) -> Operation:
    wheel = own_wheel()
    settings = [f"export {name}={quoted(value)}\n" for name, value in environment.items() if name.startswith("PIP_")]
    words, numbers = ".".join(map(str, wheel.python)), ", ".join(map(str, wheel.python))
    python = _PYTHON.replace("{oldest}", numbers).replace("{words}", words)

    def complete(operation: Operation, bringer: Bringer) -> Operation:
        return replace(operation, uploads=(text_upload(wheel.name, wheel.content()),))

    return Operation(
        kind=LAYER,
        name=f"install ov into {VENV}",
        look=(
            f'[ "$(readlink -- {OV_PROGRAM})" = {VENV}/bin/ov ]\n'
            f'[ "$(cat -- {MARK})" = {wheel.digest} ]\n{OV_PROGRAM} --version'
        ),
        save=(
            f"{python}[ ! -e {VENV} ] || ov_fail '{VENV} is there, and no record says who made it: remove it'\n"
            f"ov_keep {VENV} {OV_PROGRAM}"
        ),
        do=(
            f"{_RUNS}{python}{''.join(settings)}rm -rf -- {VENV}\nov_parents {VENV}\n"
            f'"$ov_python" -m venv -- {VENV}\n'
            f"{VENV}/bin/python -m pip install -q --no-input --no-cache-dir --disable-pip-version-check"
            f' -- "$FILES"/{quoted(wheel.name)} ||'
            f" ov_fail {_without_index(wheel, vm)}\n"
            f"ov_runs {VENV}/bin/ov\nprintf '%s\\n' {wheel.digest} >{MARK}\nov_link {VENV}/bin/ov {OV_PROGRAM}\n"
            f'printf "%s\\n" "{OV_PROGRAM} runs from {VENV}, by $("$ov_python" --version)"'
        ),
        undo=f"rm -rf -- {VENV}\nov_restore",
        secret=bool(settings),  # an index's URL may hold a password
        complete=complete,
        where=vm.where,
    )


def _without_index(wheel: OwnWheel, vm: VmSpec) -> str:
    """What to do when pip finds no index, as a word of the shell that knows the guest's ``$ov_version`` of Python."""
    needs = " ".join(quoted(one) for one in wheel.needs)
    begin = (
        "pip cannot install ov: what it depends on comes from the index of the pip in the guest; PIP_INDEX_URL in env:"
        " of the deployment names another. Where the guest can reach none, three steps here bring it:\n"
        "  python3 -m pip download -d wheels --only-binary :all: --python-version "
    )
    end = (
        f" {needs}\n  ov vm scp -r {vm.name} wheels :/var/tmp/\n"
        "  env: {PIP_NO_INDEX: '1', PIP_FIND_LINKS: /var/tmp/wheels} in the deployment's entry, and the same again"
    )
    return f'{quoted(begin)}"$ov_version"{quoted(end)}'


def _download(wanted: OvInstall, vm: VmSpec) -> Operation:
    """The first boot has done the same, unless it failed, or the VM is older than the setting."""
    url = str(wanted.url)
    checksum = (wanted.checksum or "").removeprefix("sha256:").lower()
    line = 'url = "' + url.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if checksum:
        same = f"printf '%s\\n' '{checksum}  {OV_PROGRAM}' | sha256sum -c -"
        test = (
            f'[ "$ov_sum" = {checksum} ] || {{\n    rm -f -- "$ov_new"\n'
            f'    ov_fail "what was downloaded as ov is sha256:$ov_sum, and not sha256:{checksum}"\n}}'
        )
    else:
        same = ":"
        test = 'printf "%s\\n" "ov is not pinned; checksum: sha256:$ov_sum would do that"'
    return Operation(
        kind=LAYER,
        name=f"download ov to {OV_PROGRAM}",
        look=f"{_RUNS}[ -f {OV_PROGRAM} ]\n[ -x {OV_PROGRAM} ]\n{same}\nov_runs {OV_PROGRAM}",
        save=f"ov_keep {OV_PROGRAM}",
        do=(
            f"{_RUNS}command -v curl >/dev/null || ov_fail 'the guest has no curl: add it to cloud_init.packages'\n"
            f"ov_parents {OV_PROGRAM}\nov_temp {OV_PROGRAM}\n"
            f'printf "%s\\n" {quoted(line)} | curl -fsSL --retry 3 -K - -o "$ov_new" ||'
            f" ov_fail {quoted(f'ov cannot be downloaded from {public(url)}')}\n"
            f'ov_sum=$(sha256sum <"$ov_new")\nov_sum=${{ov_sum%% *}}\n{test}\n'
            f'chmod 0755 -- "$ov_new"\nov_put "$ov_new" {OV_PROGRAM}\nov_runs {OV_PROGRAM}'
        ),
        undo="ov_restore",
        secret=public(url) != url,
        where=vm.where,
    )


def _check(vm: VmSpec) -> Operation:
    path = f"PATH=$PATH:{OV_PROGRAM.rpartition('/')[0]}\n"
    return Operation(
        kind=LAYER,
        name="check that ov is there",
        look=f"{_RUNS}{path}ov_runs ov",
        do=(
            f"{_RUNS}{path}command -v ov >/dev/null ||"
            " ov_fail 'the guest has no ov, and ov_install has strategy: skip, which only looks for it;"
            " strategy: auto installs it'\nov_runs ov"
        ),
        undo=":",
        where=vm.where,
    )
