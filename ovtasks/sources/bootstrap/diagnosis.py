"""Turns an error message of mmdebstrap or apt into what is wrong and the next step."""

from __future__ import annotations

import re

from ovtasks.errors import InputError, OvError, Where
from ovtasks.host.packages import package_hint
from ovtasks.host.run import CommandError
from ovtasks.sources.bootstrap.recipe import DISTROS, Recipe


def diagnose(error: CommandError, recipe: Recipe, where: Where) -> OvError:
    """The error in the user's terms; ``error`` itself if its message is unknown."""
    text = error.stderr
    if found := re.search(r"E: (?:Unable to locate package|Couldn't find any package by \w+) '?([^\s']+)", text):
        hint = f"packages.{recipe.distro}.org knows the names; spelling, suite and architecture count"
        return InputError(
            f"{recipe.distro} {recipe.suite} ({recipe.architecture}) has no package {found[1]}", hint=hint, where=where
        )
    if found := re.search(
        r"E: (Version '[^']+' for '[^']+' was not found|Release '[^']+' for '[^']+' was not found)", text
    ):
        return InputError(f"{recipe.distro} {recipe.suite}: {found[1]}", where=where)
    if found := re.search(r"E: Package '([^']+)' has no installation candidate", text):
        return InputError(f"{recipe.distro} {recipe.suite} has no package {found[1]} to install", where=where)
    if "does not have a Release file" in text or re.search(r"Release\s+404", text) or "unknown suite" in text:
        hint = f"suites have names like {DISTROS[recipe.distro].stable}"
        return InputError(f"{recipe.distro} has no suite {recipe.suite} on its mirrors", hint=hint, where=where)
    if re.search(r"NO_PUBKEY|is not signed|not available: .*keyring|cannot be verified|couldn't be verified", text):
        hint = f"{package_hint(f'{recipe.distro}-keyring')}: a newer suite takes a newer one"
        return OvError(f"the signature of {recipe.distro} {recipe.suite} cannot be verified", hint=hint)
    if "No space left on device" in text or "not enough free space" in text:
        return OvError("the disk filled up during the bootstrap", hint="the output folder needs about 3 GiB free")
    if re.search(r"Temporary failure resolving|Could not resolve|Could not connect|Network is unreachable", text):
        hint = "the first build of a bootstrap VM needs the network; http_proxy is honoured"
        return OvError(f"the package mirror of {recipe.distro} cannot be reached", hint=hint)
    return error
