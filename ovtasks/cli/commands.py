"""Every command of ``ov``, in the order of its help. A row costs nothing until its command is asked for."""

from __future__ import annotations

from ovtasks.cli.parser import CliCommand

SNAPSHOT = (
    CliCommand("create", "keep the state of a VM's disk; the VM may run", "snapshot:create_arguments"),
    CliCommand("list", "list the snapshots of a VM", "snapshot:list_arguments"),
    CliCommand("info", "print one snapshot as JSON", "snapshot:info_arguments"),
    CliCommand("revert", "return the disk of a VM to a snapshot", "snapshot:revert_arguments"),
    CliCommand("delete", "delete a snapshot; the disk stays as it is", "snapshot:delete_arguments"),
)
VM = (
    CliCommand("build", "build VMs, and print the artifacts' paths", "vm:build_arguments", group="Build and make"),
    CliCommand(
        "create",
        "build, make or update a VM, and start it",
        "lifecycle:create_arguments",
        aliases=("up",),
        group="Build and make",
    ),
    CliCommand("start", "start stopped VMs", "lifecycle:start_arguments", group="Run"),
    CliCommand(
        "stop",
        "shut the guests down, and wait until they are off",
        "lifecycle:stop_arguments",
        aliases=("down",),
        group="Run",
    ),
    CliCommand("restart", "stop, then start", "lifecycle:restart_arguments", group="Run"),
    CliCommand("suspend", "pause VMs; they stay in memory", "lifecycle:suspend_arguments", group="Run"),
    CliCommand("resume", "continue suspended VMs", "lifecycle:resume_arguments", group="Run"),
    CliCommand("reset", "press the reset button of VMs", "lifecycle:reset_arguments", group="Run"),
    CliCommand(
        "destroy",
        "remove a VM's definition; with --disk also its disk, keys and logs",
        "lifecycle:destroy_arguments",
        aliases=("rm",),
        group="Build and make",
    ),
    CliCommand("list", "list running VMs, with -a all", "show:list_arguments", aliases=("ls",), group="Look"),
    CliCommand("status", "show everything about one VM", "show:status_arguments", group="Look"),
    CliCommand("ip", "print the address of the guest", "show:ip_arguments", group="Look"),
    CliCommand("logs", "show the log of the serial console", "show:logs_arguments", group="Look"),
    CliCommand(
        "snapshot",
        "keep states of a VM's disk, and return to them",
        description="Create, list, revert and delete snapshots of a VM's disk.",
        verbs=SNAPSHOT,
        group="Keep states",
    ),
    CliCommand("clone", "make a VM from another VM's disk", "clones:clone_arguments", group="Build and make"),
    CliCommand(
        "import",
        "adopt a libvirt domain",
        "imports:import_arguments",
        group="Build and make",
    ),
    CliCommand(
        "edit", "edit a VM's lines in its file, then see what changes", "edit:edit_arguments", group="Definition"
    ),
    CliCommand("xml", "print a VM's libvirt domain", "definition:xml_arguments", group="Definition"),
    CliCommand("argv", "print a VM's QEMU command line", "definition:argv_arguments", group="Definition"),
    CliCommand(
        "diff", "show how a VM's definition differs from vms.yml", "definition:diff_arguments", group="Definition"
    ),
    CliCommand("ssh", "log in, or run a command, with ssh", "reach:ssh_arguments", group="Log in"),
    CliCommand("run", "run a command in a throw-away VM", "throwaway:run_arguments", group="Run"),
    CliCommand("scp", "copy files to or from the guest", "reach:scp_arguments", group="Log in"),
    CliCommand("ssh-config", "print an SSH configuration of the VMs", "reach:ssh_config_arguments", group="Log in"),
    CliCommand("console", "connect to the serial console; ^] leaves", "reach:console_arguments", group="Log in"),
    CliCommand("wait", "wait until the guest is ready", "reach:wait_arguments", group="Look"),
    CliCommand(
        "screenshot", "save the VM's screen as PNG", "eval_machine:screenshot_arguments", group="Screen and keyboard"
    ),
    CliCommand("view", "open a VM's display in a window", "view:arguments", group="Screen and keyboard"),
    CliCommand(
        "sendkey",
        "press keys of the VM's keyboard",
        "eval_machine:sendkey_arguments",
        group="Screen and keyboard",
    ),
    CliCommand("type", "type text on the VM's keyboard", "eval_machine:type_arguments", group="Screen and keyboard"),
)
IMAGE = (
    CliCommand("build", "build the stale images that have a containerfile", "image:build_arguments"),
    CliCommand("pull", "ask the registries for newer images", "image:pull_arguments"),
    CliCommand("list", "list the images", "image:list_arguments"),
    CliCommand("inspect", "show one image, and whether bootc can install it", "image:inspect_arguments"),
)
DEPLOY = (
    CliCommand("add", "apply layers to a VM", "deploy:add_arguments"),
    CliCommand("del", "remove layers from a VM", "deploy:del_arguments"),
    CliCommand("list", "list the deployments", "deploy_show:list_arguments"),
    CliCommand(
        "status", "show the layers in a VM; --drift compares them with the guest", "deploy_show:status_arguments"
    ),
    CliCommand("plan", "show what add would do, and why", "deploy_show:plan_arguments"),
)
SETTINGS = (
    CliCommand("list", "show every setting, its value and its origin", "settings:list_arguments"),
    CliCommand("get", "print the current value", "settings:get_arguments"),
    CliCommand("set", "write a setting into the file", "settings:set_arguments"),
    CliCommand("reset", "remove a setting from the file; without KEY: all", "settings:reset_arguments"),
    CliCommand("path", "print the path of the file", "settings:path_arguments"),
)
EVAL = (
    CliCommand("live", "run the checks of a running VM or deployment", "eval_live:arguments"),
    CliCommand(
        "libvirt", "look at a VM from outside: screen, keys, QMP, guest agent", "eval_machine:libvirt_arguments"
    ),
    CliCommand(
        "spice", "talk to a VM's SPICE server: status, screenshot, pointer, keys", "eval_machine:spice_arguments"
    ),
)
COMMANDS = (
    CliCommand(
        "vm",
        "build, create, start, stop, destroy, list and reach VMs",
        description="Build, run and reach the VMs of vms.yml.",
        verbs=VM,
        group="Virtual machines",
    ),
    CliCommand(
        "image",
        "build, pull, list and inspect container images",
        description="Build, pull and inspect the container images of image.yml, in podman's storage.",
        verbs=IMAGE,
        group="Images",
    ),
    CliCommand(
        "deploy",
        "apply layers to VMs, and remove them",
        description="Apply the layers in layers/ to VMs, as deploy.yml says.",
        verbs=DEPLOY,
        group="Virtual machines",
    ),
    CliCommand(
        "eval", "look into running VMs", description="Look into running VMs.", verbs=EVAL, group="Virtual machines"
    ),
    CliCommand(
        "update", "destroy and remake a disposable VM, with its layers", "update:arguments", group="Virtual machines"
    ),
    CliCommand(
        "list",
        "list the project's VMs: how they are built, and their instances",
        "overview:list_arguments",
        group="Look before you build",
    ),
    CliCommand("status", "show the project at a glance", "overview:status_arguments", group="Look before you build"),
    CliCommand("plan", "show what would run, and why", "plan:arguments", group="Look before you build"),
    CliCommand(
        "why", "explain one step: inputs, receipt, and why it would run", "why:arguments", group="Look before you build"
    ),
    CliCommand("graph", "print the graph of steps", "draw:arguments", group="Look before you build"),
    CliCommand("report", "write a page about the project for a browser", "report:arguments", group="Project and host"),
    CliCommand("init", "write the first files of a project", "init:arguments", group="Project and host"),
    CliCommand("images", "list official images, for source: in vms.yml", "images:arguments", group="Images"),
    CliCommand("lock", "pin image URLs in ovtasks.lock", "lock:arguments", group="Images"),
    CliCommand("gc", "remove unused base images", "gc:arguments", group="Images"),
    CliCommand(
        "validate",
        "check vms.yml, image.yml, deploy.yml and the layers",
        "validate:arguments",
        group="Look before you build",
    ),
    CliCommand("migrate", "convert older files to the current format", "migrate:arguments", group="Project and host"),
    CliCommand(
        "settings",
        "show and change settings",
        description="Settings for all projects. A variable replaces the file, and the file replaces the default.",
        verbs=SETTINGS,
        group="Project and host",
    ),
    CliCommand(
        "completion",
        "set up completion with the Tab key",
        "shells:arguments",
        group="Project and host",
    ),
    CliCommand("man", "show the manual page of a command", "man:arguments", group="Project and host"),
    CliCommand("explain", "explain an error, and what to do", "explain:arguments", group="Project and host"),
    CliCommand("doctor", "check what VMs need on this host", "doctor:arguments", group="Project and host"),
    CliCommand(
        "ssh-config", "print an SSH configuration of the VMs", "reach:ssh_config_arguments", group="Virtual machines"
    ),
)
