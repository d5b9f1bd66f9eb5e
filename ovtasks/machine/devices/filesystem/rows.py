"""Rows of ``libvirt.devices.filesystems``."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import LINE, NUMBER, ON_OFF, PATH, POSITIVE, number, one_of, switch, text

VIRTIOFS = {"driver": ("virtiofs",)}
NINEP = {"driver": ("9p", "path")}
_OCTAL = text(r"^0?[0-7]{3}$", "an octal mode", "is not an octal mode such as 0644", ("0644",), ("rw", "9"))
_SHARED = text(
    r"^[^\x00-\x1f]+$",
    "an absolute path, or one that begins with ${vm.dir} or ${vm.project}",
    "is not a path",
    ("/srv/share", "${vm.project}/a b"),
    ("", []),
)
SHARED = replace(_SHARED, format="path", path=True)


def _ids(kind: str) -> Items:
    return Items(
        Block(
            kind,
            f"Ranges of {kind}s.",
            {
                "start": Field(NUMBER, "@start", "The guest's first.", required=True),
                "target": Field(NUMBER, "@target", "The host's first.", required=True),
                "count": Field(POSITIVE, "@count", "How many.", required=True),
            },
        )
    )


ROWS = Items(
    Block(
        "filesystem",
        "Host folders for the guest, which you mount there.",
        {
            "type": Field(
                one_of("mount"),
                "@type",
                "Always mount; other values are for containers.",
                default="mount",
            ),
            "accessmode": Field(
                one_of("passthrough", "mapped", "squash"),
                "@accessmode",
                "Who owns the files; virtiofs supports only passthrough.",
            ),
            "driver": Field(
                one_of("virtiofs", "9p", "path"),
                "driver@type",
                "virtiofs is fast and needs virtiofsd; 9p is in QEMU.",
                assumed="9p",
                computed=True,
            ),
            "queue": Field(POSITIVE, "driver@queue", "Requests in a queue.", only=VIRTIOFS),
            "multidevs": Field(
                one_of("default", "remap", "forbid", "warn"),
                "@multidevs",
                "Folders of several file systems.",
                only=NINEP,
            ),
            "fmode": Field(
                _OCTAL, "@fmode", "Mode of new files (accessmode mapped).", only={"accessmode": ("mapped",)}
            ),
            "dmode": Field(
                _OCTAL, "@dmode", "Mode of new folders (accessmode mapped).", only={"accessmode": ("mapped",)}
            ),
            "source": Field(
                SHARED,
                "source@dir",
                "The folder, absolute or with ${vm.project}/….",
                required=True,
                computed=True,
            ),
            "target": Field(
                LINE, "target@dir", "The tag that the guest mounts: mount -t virtiofs TAG /mnt.", required=True
            ),
            "readonly": Field(
                switch("yes", "no"),
                "readonly?",
                "The guest cannot write.",
            ),
            "binary": Block(
                "binary",
                "The server, virtiofsd.",
                {
                    "path": Field(PATH, "@path", "The program."),
                    "xattr": Field(ON_OFF, "@xattr", "Extended attributes."),
                    "cache": Field(one_of("none", "always"), "cache@mode", "The guest's cache."),
                    "sandbox": Field(
                        one_of("namespace", "chroot"), "sandbox@mode", "How it confines itself to the folder."
                    ),
                    "posix_lock": Field(ON_OFF, "lock@posix", "POSIX locks by the host.", qemu="never"),
                    "flock": Field(ON_OFF, "lock@flock", "flock(2) by the host.", qemu="never"),
                    "thread_pool": Field(number(0, 1024), "thread_pool@size", "Threads."),
                },
                only=VIRTIOFS,
            ),
            "idmap": Block(
                "idmap",
                "Users of the guest → users of the host.",
                {"uid": _ids("uid"), "gid": _ids("gid")},
                only=VIRTIOFS,
                since=(10, 0),
                qemu="never",
            ),
        },
    )
)
