"""A VM on a bridge, of an ordinary user's."""

from __future__ import annotations

import json
from typing import Any

from ovtasks.host.run import Result
from tests.support.session import SessionUser
from tests.support.workbench import cloud_vm, make_image

MAC = "52:54:00:0b:21:da"


class Project:
    """Of an ordinary user: one VM without an operating system."""

    def __init__(self, user: SessionUser, backend: str) -> None:
        self.user = user
        self.backend = backend
        self.root = user.home / "bridged"
        self.root.mkdir()
        make_image(self.root / "empty.qcow2")
        self.declare()

    def declare(self, **more: Any) -> None:
        network = {"mode": "bridge", "bridge": "ovtest0", "mac": MAC}
        fields: dict[str, Any] = {"ram": "128M", "cpus": 1, "backend": self.backend, "network": network, **more}
        ssh = {"user": "tester", "key_source": "generate"}
        vms = {"web": cloud_vm(self.root / "empty.qcow2", **fields, ssh=ssh)}
        (self.root / "vms.yml").write_text(json.dumps({"vms": vms}, indent=1), encoding="utf-8")
        self.user.owned(self.root)

    def ov(self, *words: str, code: int = 0) -> Result:
        return self.user.ov(*words, cwd=self.root, code=code)
