"""The plans of a deployment's layers for one system."""

from __future__ import annotations

from ovtasks.deploy.inputs import Secrets, environment_names, variables_of
from ovtasks.deploy.ov_program import program_plan
from ovtasks.deploy.wanted import Wanted
from ovtasks.errors import InputError, InputErrors
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.plan import LayerPlan, compile_layer, needs_of
from ovtasks.project.model import VmSpec
from ovtasks.seed.distro import attribute, detect
from ovtasks.values.arch import arch_of


def compile_all(wanted: Wanted, facts: SystemFacts, secrets: Secrets) -> list[LayerPlan]:
    """The plans in the order of their needs; the first is that of ``ov`` itself if the VM asks for it.

    :raises InputErrors: what is wrong with the layers, for this system.
    """
    plans: list[LayerPlan] = []
    errors: list[InputError] = []
    try:
        first = program_plan(wanted.vm, wanted.deployment.environment, wanted.layers) if wanted.vm else None
        plans += [first] if first else []
    except InputError as e:
        errors.append(e)
    hidden = environment_names(wanted.layers)
    for layer in wanted.layers:
        try:
            environment = variables_of(wanted, layer)
            given = secrets.values(layer, environment)
            # Another layer's secret is not this one's variable, which everybody could read.
            environment = {name: value for name, value in environment.items() if name in given or name not in hidden}
            plans.append(compile_layer(layer, facts, environment, given, needs_of(layer, wanted.layers)))
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
