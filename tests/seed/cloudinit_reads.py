"""What cloud-init would do with a seed's files, by its own code, in a process under its interpreter.

Nothing of this machine is changed: programs and writes outside of a folder of its own are only noted down.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

from ovtasks.host.run import require
from tests.support.processes import talk

# Reads one JSON object a line: {"network": text} is answered with every file that each renderer writes,
# {"users": text} with the commands and the keys of each account that user-data makes.
_READS = """\
import json
import os
import sys
import tempfile
from contextlib import suppress
from unittest import mock

import yaml
from cloudinit import distros, helpers, ssh_util, subp, util
from cloudinit.distros import rhel, ug_util
from cloudinit.net import eni, netplan, network_state, networkd, sysconfig

RENDERERS = {"eni": eni, "netplan": netplan, "networkd": networkd, "sysconfig": sysconfig}
with suppress(ImportError):
    from cloudinit.net import network_manager

    RENDERERS["network-manager"] = network_manager
SETTINGS = {
    "eni": {"eni_path": "etc/interfaces", "netrules_path": "etc/rules", "eni_header": None},
    "netplan": {"netplan_path": "etc/netplan.yaml"},
    "networkd": {"network_conf_dir": "/etc/systemd/network/"},
    "sysconfig": rhel.Distro.renderer_configs["sysconfig"],
}
DEFAULT = {"name": "debian", "groups": ["adm"], "sudo": ["ALL=(ALL) NOPASSWD:ALL"], "shell": "/bin/bash"}


def network(text):
    config = yaml.safe_load(text)
    config = config.get("network", config)
    return {name: rendered(module, name, config) for name, module in RENDERERS.items()}


def rendered(module, name, config):
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mock.patch.object(subp, "subp"), mock.patch.object(util, "chownbyname"):
                state = network_state.parse_net_config_data(config)
                module.Renderer(SETTINGS.get(name)).render_network_state(state, target=folder)
        except Exception as e:  # noqa: BLE001 — whatever it is, it must be the same
            return type(e).__name__
        found = {}
        for place, _, files in os.walk(folder):
            for file in files:
                path = os.path.join(place, file)
                with open(path, encoding="utf-8") as opened:
                    found[os.path.relpath(path, folder)] = opened.read()
        if name == "netplan":  # an anchor is as good as what it stands for
            found = {path: yaml.safe_load(text) for path, text in found.items()}
        return found


def users(text):
    config = yaml.safe_load(text)
    paths = helpers.Paths({"cloud_dir": "/nonexistent", "run_dir": "/nonexistent"})
    distro = distros.fetch("debian")("debian", {"default_user": dict(DEFAULT)}, paths)
    with mock.patch.object(util, "is_user", return_value=False):
        made, _ = ug_util.normalize_users_groups(config, distro)
    return {name: account(distro, name, dict(words)) for name, words in made.items()}


def account(distro, name, words):
    util.is_container()  # asks a program, once
    calls, keys, rules = [], [], []
    words.pop("default", None)
    with (
        mock.patch.object(subp, "subp", lambda args, *_, **__: calls.append([str(arg) for arg in args])),
        mock.patch.object(util, "is_user", return_value=False),
        mock.patch.object(util, "is_group", return_value=True),
        mock.patch.object(ssh_util, "setup_user_keys", lambda found, user, **more: keys.append([sorted(found), more])),
        mock.patch.object(distro, "write_sudo_rules", lambda user, found: rules.append(found)),
        mock.patch.object(distro, "write_doas_rules", lambda *_: None, create=True),
    ):
        try:
            distro.create_user(name, **words)
        except Exception as e:  # noqa: BLE001
            return f"{type(e).__name__}: {e}"
    return {"calls": calls, "keys": keys, "sudo": rules}


for line in sys.stdin:
    ((what, text),) = json.loads(line).items()
    print(json.dumps({"network": network, "users": users}[what](text), sort_keys=True), flush=True)
"""


class Reads:
    """A context manager."""

    def __enter__(self) -> Reads:
        interpreter = require("cloud-init").read_text(encoding="utf-8").splitlines()[0].removeprefix("#!").split()
        self._process = talk(*interpreter, "-c", _READS, quiet=True)  # it warns of much
        return self

    def network(self, text: str | bytes) -> Any:
        """By renderer the files that it writes, or its error."""
        return self._ask({"network": text if isinstance(text, str) else text.decode()})

    def users(self, text: str | bytes) -> Any:
        """By account what is run for it (``calls``), its ``keys`` and ``sudo`` rules, or the error."""
        return self._ask({"users": text if isinstance(text, str) else text.decode()})

    def _ask(self, question: dict[str, str]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "cloud-init's interpreter died"
        return json.loads(answer)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._process.communicate()
