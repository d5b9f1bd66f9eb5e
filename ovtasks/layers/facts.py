"""What a layer's operations depend on in the system that they change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SystemFacts:
    """A guest or an image.

    ``distro``, ``version``, ``like`` and ``codename`` are os-release(5)'s ID, VERSION_ID, ID_LIKE and VERSION_CODENAME.
    ``arch`` is ``uname -m``. ``user``, ``uid``, ``gid`` and ``home`` belong to the account that logs in. ``path`` is
    the PATH of a command over ssh. ``booted``: systemd runs there, so that services can be started; False in an image
    build. ``shells`` are the names of the shells that are installed. ``root``: the account is root, or becomes root by
    sudo or doas without a password.
    """

    distro: str
    version: str = ""
    like: tuple[str, ...] = ()
    codename: str = ""
    arch: str = "x86_64"
    user: str = "root"
    uid: int = 0
    gid: int = 0
    home: str = "/root"
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    booted: bool = True
    shells: tuple[str, ...] = ("sh", "bash")
    root: bool = True

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of sections that suit this system, the most exact first: ``rhel:9.4``, ``rhel:9``, ``rhel``, likes."""
        parts = self.version.split(".") if self.version else []
        exact = [f"{self.distro}:{'.'.join(parts[:count])}" for count in range(len(parts), 0, -1)]
        return (*exact, self.distro, *self.like)
