"""spec → steps → doit: what a step is, when it is fresh, how it runs. Knows no libvirt and no podman."""
