"""The plans of a deployment's layers for one system."""

from __future__ import annotations

from ovtasks.deploy.inputs import Secrets, variables_of
from ovtasks.deploy.wanted import Wanted
from ovtasks.errors import InputError, InputErrors
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.plan import LayerPlan, compile_layer, needs_of
from ovtasks.project.model import VmSpec
from ovtasks.seed.distro import attribute, detect
from ovtasks.values.arch import arch_of


def compile_all(wanted: Wanted, facts: SystemFacts, secrets: Secrets) -> list[LayerPlan]:
    """The plans in the order of their needs.

    :raises InputErrors: what is wrong with the layers, for this system.
    """
    plans: list[LayerPlan] = []
    errors: list[InputError] = []
    for layer in wanted.layers:
        try:
            environment = variables_of(wanted, layer)
            below = needs_of(layer, wanted.layers)
            plans.append(compile_layer(layer, facts, environment, secrets.values(layer, environment), below))
        except InputErrors as e:
            errors += e.errors
        except InputError as e:
            errors.append(e)
    if errors:
        raise InputErrors(errors)
    return plans


def guessed_facts(vm: VmSpec) -> SystemFacts | None:
    """What the guest probably is, as long as it does not exist; None if its source does not tell."""
    distro = detect(vm.source)
    if distro is None:
        return None
    like = () if distro.family == distro.name else (distro.family,)
    user = vm.ssh.user or "root"
    home = "/root" if user == "root" else f"/home/{user}"
    arch = attribute(vm.source, "architecture") or attribute(vm.source, "bootstrap_arch")
    suite = attribute(vm.source, "suite") or ""
    uid = 0 if user == "root" else 1000
    return SystemFacts(
        distro.name, "", like, suite, arch_of(str(arch)).name if arch else "x86_64", user, uid, uid, home
    )
