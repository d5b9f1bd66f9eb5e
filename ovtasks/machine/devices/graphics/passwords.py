"""How long a display's password may be. A longer one is cut by the protocol, or refused when the VM starts."""

from __future__ import annotations

from xml.etree import ElementTree as ET

BYTES = {"vnc": 8, "spice": 60}
"""The most bytes. RFB's "VNC Authentication" uses eight of them as a key; SPICE's servers take a ticket of 60."""
_WHY = {"vnc": "VNC cuts the rest off", "spice": "SPICE takes no more"}


def too_long(kind: str, password: str) -> tuple[str, str] | None:
    """What is wrong with the password of a display, and what to do; None: nothing. No text shows the password."""
    limit = BYTES.get(kind)
    size = len(password.encode("utf-8", "surrogatepass"))
    if limit is None or size <= limit:
        return None
    bytes_ = f"{size} bytes" if size == len(password) else f"{size} bytes ({len(password)} characters in UTF-8)"
    other = ", or type: spice, which takes 60" if kind == "vnc" and size <= BYTES["spice"] else ""
    return f"has {bytes_}: {_WHY[kind]}", f"a password of at most {limit} bytes{other}"


def in_xml(elements: tuple[ET.Element, ...]) -> tuple[ET.Element, str, str] | None:
    """The first display of XML whose password is too long, what is wrong with it, and what to do."""
    for top in elements:
        for graphics in top.iter("graphics"):
            found = too_long(graphics.get("type", ""), graphics.get("passwd", ""))
            if found is not None:
                return graphics, *found
    return None
