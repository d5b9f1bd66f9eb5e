"""The machines of this project's own sample VMs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ovtasks.machine.machine import Machine
from ovtasks.project.load import load_project
from tests.support.machines import machine

ROOT = Path(__file__).parents[2]


def samples(root: Path = ROOT) -> Iterator[tuple[str, Machine]]:
    """By name."""
    for name, vm in load_project(root, cache=False).vms.items():
        yield name, machine(vm=name, ram=vm.ram, cpus=vm.cpus, machine=vm.machine or "q35", libvirt=vm.libvirt)
