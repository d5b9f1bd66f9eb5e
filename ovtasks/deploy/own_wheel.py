"""This installation of ovtasks as a wheel: of a checkout and of an installed package alike, and no build tool runs.

A wheel is a zip of the package's files with a folder that describes them. Both are here: the files lie beside this one,
and the description is in the metadata that pip wrote when it installed the package or the checkout.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.project.model import VmSpec
from ovtasks.project.schema import schema_path
from ovtasks.values.jsonvalue import digest

PACKAGE = "ovtasks"
SCHEMAS = f"{PACKAGE}/schemas"
_TAG = "Wheel-Version: 1.0\nGenerator: ovtasks\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of each file in the wheel, so that the same files make the same wheel."""


@dataclass(frozen=True)
class OwnWheel:
    """``digest`` tells one set of files from another; ``python`` is the oldest Python that runs them: ``(3, 11)``.
    ``needs`` is what they depend on, as pip's words: ``paramiko>=3.4``."""

    name: str
    version: str
    python: tuple[int, ...]
    digest: str
    files: Mapping[str, bytes]
    needs: tuple[str, ...] = ()

    def content(self) -> bytes:
        """The wheel."""
        import zipfile

        info = f"{PACKAGE}-{self.version}.dist-info"
        record = "".join(f"{name},{_hash(data)},{len(data)}\n" for name, data in self.files.items())
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {**self.files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
        return made.getvalue()


def brings_wheel(vm: VmSpec) -> bool:
    """Whether deployments put this installation into the guest."""
    return vm.asked_ov is not None and vm.asked_ov.strategy in {"auto", "scp"}


def own_files() -> Iterator[tuple[str, Path]]:
    """The package's files, by their names in a wheel, in order."""
    package = Path(__file__).resolve().parent.parent
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package.parent).as_posix()
        if path.is_file() and path.suffix != ".pyc" and not name.startswith(f"{SCHEMAS}/"):
            yield name, path
    # a checkout has the schemas beside the package, a wheel inside of it
    for path in sorted(schema_path("vms").parent.glob("*.json")):
        yield f"{SCHEMAS}/{path.name}", path


def own_wheel() -> OwnWheel:
    """The wheel of the installation that runs.

    :raises OvError: it was not installed by pip or the like, or a file cannot be read.
    """
    import importlib.metadata

    try:
        found = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError as e:
        hint = "install the package or its checkout by pip; ./doitw does that for a checkout"
        raise OvError("no wheel can be made of this ovtasks: it is not installed", hint=hint) from e
    info = f"{PACKAGE}-{found.version}.dist-info"
    try:
        files = {name: path.read_bytes() for name, path in own_files()}
    except OSError as e:
        raise OvError(f"no wheel can be made of this ovtasks: {e.filename} cannot be read: {e.strerror}") from e
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        if (text := found.read_text(name)) is not None:
            files[f"{info}/{name}"] = text.encode()
    files[f"{info}/WHEEL"] = _TAG.encode()
    oldest = str(found.metadata["Requires-Python"]).removeprefix(">=")
    sums = digest({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    name = f"{PACKAGE}-{found.version}-py3-none-any.whl"
    needs = [one.replace(" ", "") for one in found.requires or () if ";" not in one]  # those with one are of extras
    return OwnWheel(name, found.version, tuple(map(int, oldest.split("."))), sums, files, tuple(needs))


def _hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
