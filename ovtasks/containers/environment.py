"""What of the environment decides where podman keeps its images."""

VARIABLES = ("CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS", "XDG_DATA_HOME", "HOME", "CONTAINERS_CONF")
