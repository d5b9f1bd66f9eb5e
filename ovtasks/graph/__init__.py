"""Steps: what a step is, when it is fresh, how doit runs it. Knows no source, no podman and no libvirt."""
