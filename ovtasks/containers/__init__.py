"""Container images: podman builds, pulls and stores them, as the user, as root, or in a podman machine."""
