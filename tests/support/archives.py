"""Packages and repositories made for tests, as small as the package managers take them."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import attempt, call


@dataclass(frozen=True)
class SigningKey:
    """A key in a home of its own."""

    home: Path
    public: bytes

    def sign(self, file: Path, *how: str, to: Path) -> None:
        call("gpg", "--homedir", self.home, "--batch", "--yes", *how, "--output", to, file)


def make_key(folder: Path, name: str) -> SigningKey:
    """A new key; its agent is ended again."""
    home = folder / f"gnupg-{name}"
    home.mkdir(mode=0o700)
    options = ("gpg", "--homedir", home, "--batch", "--quiet")
    call(
        *options, "--passphrase", "", "--quick-generate-key", f"{name} <{name}@example.org>", "rsa2048", "sign", "never"
    )
    public = call(*options, "--armor", "--export").stdout.encode()
    end_agent(home)
    return SigningKey(home, public)


def end_agent(home: Path) -> None:
    attempt("gpgconf", "--homedir", home, "--kill", "all")


def deb(folder: Path, name: str, version: str = "1", conffile: bool = False, **control: str) -> Path:
    """A Debian package with /opt/<name>, and /etc/<name>.conf if it has a ``conffile``. ``preinst`` and ``postinst``
    are its scripts."""
    tree = folder / "tree"
    scripts = {name: control.pop(name) for name in ("preinst", "postinst") if name in control}
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "opt").mkdir()
    (tree / "opt" / name).write_text(version)
    fields = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "a <a@example.org>"}
    fields |= {key.title(): value for key, value in control.items()} | {"Description": name}
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    if conffile:
        (tree / "etc").mkdir()
        (tree / f"etc/{name}.conf").write_text(f"{name} {version}\n")
        (tree / "DEBIAN/conffiles").write_text(f"/etc/{name}.conf\n")
    for kind, script in scripts.items():
        (tree / "DEBIAN" / kind).write_text(f"#!/bin/sh\n{script}\n")
        (tree / "DEBIAN" / kind).chmod(0o755)
    path = folder / f"{name}_{version}_all.deb"
    call("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, path)
    for file in sorted(tree.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    tree.rmdir()
    return path


def apt_repository(root: Path, debs: list[Path], key: SigningKey, suite: str = "stable") -> None:
    """A repository with one component, main, whose lists ``key`` signs."""
    lists = root / "dists" / suite
    (lists / "main/binary-amd64").mkdir(parents=True, exist_ok=True)
    (root / "pool").mkdir(exist_ok=True)
    stanzas = []
    for path in debs:
        content = path.read_bytes()
        (root / "pool" / path.name).write_bytes(content)
        sums = f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}"
        stanzas.append(f"{call('dpkg-deb', '--field', path).stdout.strip()}\nFilename: pool/{path.name}\n{sums}\n")
    packages = "\n".join(stanzas).encode()
    packed = gzip.compress(packages, mtime=0)  # alone, so that guests have copies of it, which get old
    (lists / "main/binary-amd64/Packages.gz").write_bytes(packed)
    entry = "".join(
        f" {hashlib.sha256(content).hexdigest()} {len(content)} main/binary-amd64/{name}\n"
        for name, content in (("Packages", packages), ("Packages.gz", packed))
    )
    head = f"Origin: test\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
    (lists / "Release").write_text(f"{head}Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n{entry}")
    key.sign(lists / "Release", "--clear-sign", to=lists / "InRelease")
    end_agent(key.home)


def rpm(folder: Path, name: str, version: str = "1", **tags: str) -> Path:
    """An RPM package with /opt/<name>."""
    spec = folder / f"{name}.spec"
    lines = "".join(f"{tag.title()}: {value}\n" for tag, value in tags.items())
    spec.write_text(
        f"Name: {name}\nVersion: {version}\nRelease: 1\nSummary: {name}\nLicense: none\nBuildArch: noarch\n{lines}"
        f"%description\n{name}\n%install\nmkdir -p %{{buildroot}}/opt\necho {version} >%{{buildroot}}/opt/{name}\n"
        f"%files\n/opt/{name}\n"
    )
    defines = {"_topdir": folder / "top", "_rpmdir": folder, "_rpmfilename": "%%{NAME}-%%{VERSION}.rpm"}
    words = [word for key, value in defines.items() for word in ("--define", f"{key} {value}")]
    call("rpmbuild", "-bb", "--quiet", *words, spec)
    return folder / f"{name}-{version}.rpm"


def rpm_repository(
    root: Path, rpms: list[Path], key: SigningKey, groups: Mapping[str, list[str]] | None = None
) -> None:
    """A repository whose lists ``key`` signs; ``groups`` of packages by name."""
    root.mkdir(parents=True, exist_ok=True)
    for path in rpms:
        (root / path.name).write_bytes(path.read_bytes())
    members = {
        name: "".join(f'<packagereq type="mandatory">{one}</packagereq>' for one in found)
        for name, found in (groups or {}).items()
    }
    (root / "comps.xml").write_text(
        "<comps>"
        + "".join(
            f"<group><id>{name}</id><name>{name}</name><packagelist>{found}</packagelist></group>"
            for name, found in members.items()
        )
        + "</comps>"
    )
    call("createrepo_c", "--quiet", "--groupfile", "comps.xml", root)
    lists = root / "repodata/repomd.xml"
    key.sign(lists, "--detach-sign", "--armor", to=Path(f"{lists}.asc"))
    end_agent(key.home)


def pac_repository(root: Path, name: str, packages: Mapping[str, Mapping[str, str]], version: str = "1-1") -> None:
    """A pacman repository: packages by name, each with fields as DEPENDS, PROVIDES, GROUPS, and /opt/<name>."""
    root.mkdir(parents=True, exist_ok=True)
    lists = {}
    for package, fields in packages.items():
        info = {"pkgname": package, "pkgver": version, "pkgdesc": package, "arch": "any", "size": "1"}
        words = {"DEPENDS": "depend", "PROVIDES": "provides", "GROUPS": "group", "CONFLICTS": "conflict"}
        info |= {words[key]: value for key, value in fields.items()}
        text = "".join(f"{key} = {value}\n" for key, value in info.items())
        content = _tar({".PKGINFO": text, f"opt/{package}": f"{version}\n"})
        file = f"{package}-{version}-any.pkg.tar.gz"
        (root / file).write_bytes(content)
        entry = {"FILENAME": file, "NAME": package, "VERSION": version, "CSIZE": str(len(content)), "ISIZE": "1"}
        entry |= {"SHA256SUM": hashlib.sha256(content).hexdigest(), "ARCH": "any"} | dict(fields)
        lists[f"{package}-{version}/desc"] = "".join(f"%{key}%\n{value}\n\n" for key, value in entry.items())
    (root / f"{name}.db").write_bytes(_tar(lists))


def _tar(files: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(stream.getvalue())
