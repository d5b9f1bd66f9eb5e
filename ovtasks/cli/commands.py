"""Every command of ``ov``, in the order of its help. A row costs nothing until its command is asked for."""

from __future__ import annotations

from ovtasks.cli.parser import Command

VM = (
    Command("build", "build what is stale and print the artifacts' paths", "vm:build_arguments"),
    Command("create", "build what is stale, then make or update the VM and start it", "lifecycle:create_arguments"),
    Command("start", "start a stopped VM", "lifecycle:start_arguments"),
    Command("stop", "power the guest off and wait until it is", "lifecycle:stop_arguments"),
    Command("restart", "stop, then start", "lifecycle:restart_arguments"),
    Command(
        "destroy",
        "remove a VM's definition; with --disk its disk and all else that is its own",
        "lifecycle:destroy_arguments",
    ),
    Command("list", "list running VMs, with -a all", "show:list_arguments"),
    Command("status", "everything about one VM", "show:status_arguments"),
    Command("ip", "where the guest is reached from here", "show:ip_arguments"),
    Command("logs", "what the guest said on its serial console", "show:logs_arguments"),
    Command("xml", "the libvirt domain that a VM is to be", "definition:xml_arguments"),
    Command("argv", "the QEMU command line that a VM is to run with", "definition:argv_arguments"),
    Command("diff", "how a VM's definition differs from what vms.yml says", "definition:diff_arguments"),
    Command("ssh", "log in, or run a command, by the system's ssh", "reach:ssh_arguments"),
    Command("scp", "copy files to or from the guest", "reach:scp_arguments"),
    Command("ssh-config", "ssh's configuration of the VMs", "reach:ssh_config_arguments"),
    Command("console", "the serial console; ^] leaves", "reach:console_arguments"),
    Command("wait", "wait until the guest is ready", "reach:wait_arguments"),
)
IMAGE = (
    Command("build", "build what is stale of the images that have a containerfile", "image:build_arguments"),
    Command("pull", "ask the registries for newer images", "image:pull_arguments"),
    Command("list", "list the images", "image:list_arguments"),
    Command("inspect", "everything about one image, and whether bootc can install it", "image:inspect_arguments"),
)
SETTINGS = (
    Command("list", "every setting, its value, and where that comes from", "settings:list_arguments"),
    Command("get", "print the value that counts", "settings:get_arguments"),
    Command("set", "write a setting into the file", "settings:set_arguments"),
    Command("reset", "take a setting out of the file; without KEY: all", "settings:reset_arguments"),
    Command("path", "print where the file is", "settings:path_arguments"),
)
COMMANDS = (
    Command("vm", "build, create, start, stop, destroy, list and reach VMs", description="VMs of vms.yml.", verbs=VM),
    Command(
        "image",
        "build, pull, list and inspect container images",
        description="Container images of image.yml, in podman's storage.",
        verbs=IMAGE,
    ),
    Command("plan", "show what would run and why; run nothing", "plan:arguments"),
    Command("why", "explain one step: inputs, receipt, reason", "why:arguments"),
    Command("graph", "print the graph of steps", "draw:arguments"),
    Command("lock", "pin image URLs in ovtasks.lock", "lock:arguments"),
    Command("gc", "remove base images that nobody uses", "gc:arguments"),
    Command("validate", "check vms.yml, image.yml and all that they include", "validate:arguments"),
    Command(
        "settings",
        "show and change the user's settings",
        description="Settings for all projects. A variable wins over the file, the file over the default.",
        verbs=SETTINGS,
    ),
    Command("doctor", "try what VMs need of this host", "doctor:arguments"),
    Command("ssh-config", "ssh's configuration of the VMs", "reach:ssh_config_arguments"),
)
