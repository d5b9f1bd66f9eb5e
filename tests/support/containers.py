"""How podman is set up on machines like the tests'."""

# crun cannot set limits there, and systemd is not there to make cgroups.
CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"""
