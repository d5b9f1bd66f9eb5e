"""Rules between the VMs of a project: colliding ports and addresses, clones of VMs that do not exist.

Few VMs have a ``libvirt:`` block: what reads one is imported for those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.errors import InputError
from ovtasks.project.declared import DeclaredVm
from ovtasks.values.ports import parse_forward
from ovtasks.values.words import did_you_mean
from ovtasks.values.yamlio import Key

_ANY = frozenset({"0.0.0.0", "::"})


def across_rules(vms: Sequence[DeclaredVm]) -> list[InputError]:
    """Every violation. If two VMs collide, the error stands at the later one and names the earlier one."""
    return [*port_rules(vms), *mac_rules(vms), *clone_rules(vms)]


def _ports(vm: DeclaredVm) -> Iterator[tuple[int, str, str, tuple[Key, ...]]]:
    """The host ports that a VM takes: port, protocol, address, and the path where it is written."""
    if vm.text("network", "mode") not in {None, "user"}:
        return
    port = vm.get("ssh", "port")
    if isinstance(port, int) and not isinstance(port, bool) and port > 0:
        yield port, "tcp", "127.0.0.1", ("ssh", "port")
    for index, item in enumerate(vm.list("network", "port_forwards")):
        if isinstance(item, str):
            try:
                host, _, protocol, address = parse_forward(item)
            except InputError:
                continue  # the VM's own rules report it
            if host:  # else create chooses one that nobody has
                yield host, protocol, address, ("network", "port_forwards", index)


def _card_ports(vm: DeclaredVm) -> Iterator[tuple[int, str, str, tuple[Key, ...]]]:
    """Those of further cards."""
    if not vm.mapping("libvirt"):
        return
    from ovtasks.machine.devices.interface import card_forwards
    from ovtasks.machine.read import reading

    for forward, place in card_forwards(reading(vm.mapping("libvirt")).tree):
        yield forward.host, forward.protocol, forward.address, place


def port_rules(vms: Sequence[DeclaredVm]) -> Iterator[InputError]:
    """A host port leads to one VM only."""
    taken: dict[tuple[int, str], list[tuple[str, DeclaredVm, tuple[Key, ...]]]] = {}
    for vm in vms:
        for port, protocol, address, path in (*_ports(vm), *_card_ports(vm)):
            others = taken.setdefault((port, protocol), [])
            for other_address, other, other_path in others:
                if address == other_address or {address, other_address} & _ANY:
                    whom = "this VM itself" if other is vm else f"VM '{other.name}'"
                    message = f"host port {port}/{protocol} is taken by {whom}"
                    hint = f"at {other.where(*other_path)}; choose another port"
                    if path[0] == "ssh":
                        hint += ", or leave ssh.port out to lease a free one"
                    yield vm.error(message, *path, hint=hint)
                    break
            others.append((address, vm, path))


def _card_macs(vm: DeclaredVm) -> Iterator[tuple[Key, ...]]:
    """Where the MAC addresses of further cards stand."""
    if not vm.mapping("libvirt"):
        return
    from ovtasks.machine.devices.interface import cards
    from ovtasks.machine.read import reading

    yield from ((*card.place, "mac") for card in cards(reading(vm.mapping("libvirt")).tree) if card.has("mac"))


def mac_rules(vms: Sequence[DeclaredVm]) -> Iterator[InputError]:
    """No two cards have the same MAC address: that would confuse every bridge that they share."""
    taken: dict[str, tuple[DeclaredVm, tuple[Key, ...]]] = {}
    for vm in vms:
        for place in (("network", "mac"), *_card_macs(vm)):
            mac = str(vm.get(*place) or "").lower()
            if mac and mac in taken:
                other, other_place = taken[mac]
                whom = "this VM itself" if other is vm else f"VM '{other.name}'"
                hint = f"at {other.where(*other_place)}; leave it out to have one derived for the card"
                yield vm.error(f"MAC address {mac} is taken by {whom}", *place, hint=hint)
            elif mac:
                taken[mac] = vm, place


def clone_rules(vms: Sequence[DeclaredVm]) -> Iterator[InputError]:
    """A clone comes from another declared VM, and not from itself in a circle."""
    if not any(vm.get("source", "kind") == "clone" for vm in vms):
        return
    from ovtasks.project.clones import parent_of

    parents = {vm.name: parent_of(vm) for vm in vms}
    names = [vm.name for vm in vms]
    reported: set[str] = set()
    for vm in vms:
        parent = parents.get(vm.name)
        if not parent:
            continue
        path = ("source", "from_vm")
        if parent == vm.name:
            yield vm.error(f"VM '{vm.name}' cannot be a clone of itself", *path, hint="name another VM")
        elif parent not in names:
            hint = did_you_mean(parent, names, most=1, cutoff=0.5) or "declare it, or correct the name"
            yield vm.error(f"source.from_vm: no VM '{parent}' is declared", *path, hint=hint)
        elif vm.name not in reported and (circle := _circle(vm.name, parents)):
            reported |= {*circle}
            message = "clones form a circle: " + " → ".join(circle)
            yield vm.error(message, *path, hint="one of them needs another source")


def _circle(start: str, parents: dict[str, str | None]) -> list[str]:
    """The chain of parents from ``start`` back to ``start``; empty if it ends elsewhere."""
    chain = [start]
    step = parents.get(start)
    while step is not None and step not in chain:
        chain.append(step)
        step = parents.get(step)
    return [*chain, start] if step == start and len(chain) > 1 else []
