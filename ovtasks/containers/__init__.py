"""Container images as a source of disks: podman and its storage, on this machine, as root, or in podman's machine."""
