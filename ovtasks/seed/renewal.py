"""What a clone's guest has to make anew, since its disk has been another machine's.

cloud-init sees a new instance-id. By itself it then removes the host keys, and sets the host name and our keys. The
machine-id it leaves alone, and what it has done "once" it does not do again.
"""

from __future__ import annotations

from ovtasks.project.model import CloneSource
from ovtasks.values.jsonvalue import Json

_MACHINE_ID = """\
command -v systemd-machine-id-setup >/dev/null || exit 0
bus=/var/lib/dbus/machine-id
if [ -e $bus ] || [ -L $bus ]; then ln -sfn /etc/machine-id $bus; fi
rm -f /etc/machine-id
systemd-machine-id-setup
"""
_CLEAN = """\
rm -rf /var/lib/cloud/sem/*
now=$(readlink -f /var/lib/cloud/instance) || exit 0
find /var/lib/cloud/instances -mindepth 1 -maxdepth 1 ! -path "$now" -exec rm -rf {} +
"""


def renewal(source: CloneSource) -> list[Json]:
    """Commands for cloud-init's ``bootcmd``. They run at every boot; ``cloud-init-per`` lets them act at the first."""
    scripts = {"ov-machine-id": _MACHINE_ID, **({"ov-clean": _CLEAN} if source.cloud_init_clean else {})}
    return [["cloud-init-per", "instance", name, "sh", "-c", script] for name, script in scripts.items()]
