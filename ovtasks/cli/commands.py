"""Every command of ``ov``, in the order of its help. A row costs nothing until its command is asked for."""

from __future__ import annotations

from ovtasks.cli.parser import CliCommand

SNAPSHOT = (
    CliCommand("create", "make a snapshot of a VM's disk; the VM may run", "snapshot:create_arguments"),
    CliCommand("list", "list the snapshots of a VM", "snapshot:list_arguments"),
    CliCommand("info", "what is known of a snapshot, as JSON", "snapshot:info_arguments"),
    CliCommand("revert", "make the disk of a VM what it was", "snapshot:revert_arguments"),
    CliCommand("delete", "delete a snapshot; the disk keeps what it has", "snapshot:delete_arguments"),
)
VM = (
    CliCommand(
        "build", "build what is stale and print the artifacts' paths", "vm:build_arguments", group="Build and make"
    ),
    CliCommand(
        "create",
        "build what is stale, then make or update the VM and start it",
        "lifecycle:create_arguments",
        aliases=("up",),
        group="Build and make",
    ),
    CliCommand("start", "start stopped VMs", "lifecycle:start_arguments", group="Run"),
    CliCommand(
        "stop",
        "power the guests off and wait until they are",
        "lifecycle:stop_arguments",
        aliases=("down",),
        group="Run",
    ),
    CliCommand("restart", "stop, then start", "lifecycle:restart_arguments", group="Run"),
    CliCommand("suspend", "halt VMs; they stay in memory", "lifecycle:suspend_arguments", group="Run"),
    CliCommand("resume", "let suspended VMs go on", "lifecycle:resume_arguments", group="Run"),
    CliCommand("reset", "press the reset button of VMs", "lifecycle:reset_arguments", group="Run"),
    CliCommand(
        "destroy",
        "remove a VM's definition; with --disk its disk and all else that is its own",
        "lifecycle:destroy_arguments",
        aliases=("rm",),
        group="Build and make",
    ),
    CliCommand("list", "list running VMs, with -a all", "show:list_arguments", aliases=("ls",), group="Look"),
    CliCommand("status", "everything about one VM", "show:status_arguments", group="Look"),
    CliCommand("ip", "where the guest is reached from here", "show:ip_arguments", group="Look"),
    CliCommand("logs", "what the guest said on its serial console", "show:logs_arguments", group="Look"),
    CliCommand(
        "snapshot",
        "keep states of a VM's disk, and go back to them",
        description="Snapshots of a VM's disk.",
        verbs=SNAPSHOT,
        group="Keep states",
    ),
    CliCommand(
        "clone", "make a VM that begins with the disk of another one", "clones:clone_arguments", group="Build and make"
    ),
    CliCommand(
        "import",
        "make a VM of a libvirt domain, which stays as it is",
        "imports:import_arguments",
        group="Build and make",
    ),
    CliCommand(
        "edit", "edit a VM's lines in its file, then see what changes", "edit:edit_arguments", group="Definition"
    ),
    CliCommand("xml", "the libvirt domain that a VM is to be", "definition:xml_arguments", group="Definition"),
    CliCommand(
        "argv", "the QEMU command line that a VM is to run with", "definition:argv_arguments", group="Definition"
    ),
    CliCommand(
        "diff", "how a VM's definition differs from what vms.yml says", "definition:diff_arguments", group="Definition"
    ),
    CliCommand("ssh", "log in, or run a command, by the system's ssh", "reach:ssh_arguments", group="Log in"),
    CliCommand(
        "run", "run a command in a throw-away VM, of which nothing is left", "throwaway:run_arguments", group="Run"
    ),
    CliCommand("scp", "copy files to or from the guest", "reach:scp_arguments", group="Log in"),
    CliCommand("ssh-config", "ssh's configuration of the VMs", "reach:ssh_config_arguments", group="Log in"),
    CliCommand("console", "the serial console; ^] leaves", "reach:console_arguments", group="Log in"),
    CliCommand("wait", "wait until the guest is ready", "reach:wait_arguments", group="Look"),
    CliCommand(
        "screenshot", "what the VM shows, as PNG", "eval_machine:screenshot_arguments", group="Screen and keyboard"
    ),
    CliCommand("view", "open a VM's display in a window", "view:arguments", group="Screen and keyboard"),
    CliCommand(
        "sendkey",
        "press keys of the VM's keyboard together",
        "eval_machine:sendkey_arguments",
        group="Screen and keyboard",
    ),
    CliCommand("type", "type text on the VM's keyboard", "eval_machine:type_arguments", group="Screen and keyboard"),
)
IMAGE = (
    CliCommand("build", "build what is stale of the images that have a containerfile", "image:build_arguments"),
    CliCommand("pull", "ask the registries for newer images", "image:pull_arguments"),
    CliCommand("list", "list the images", "image:list_arguments"),
    CliCommand("inspect", "everything about one image, and whether bootc can install it", "image:inspect_arguments"),
)
DEPLOY = (
    CliCommand("add", "put layers into a VM", "deploy:add_arguments"),
    CliCommand("del", "take layers out of a VM again", "deploy:del_arguments"),
    CliCommand("list", "list the deployments", "deploy_show:list_arguments"),
    CliCommand("status", "the layers in a VM; with --drift what became of them", "deploy_show:status_arguments"),
    CliCommand("plan", "what add would do and why, operation by operation", "deploy_show:plan_arguments"),
)
SETTINGS = (
    CliCommand("list", "every setting, its value, and where that comes from", "settings:list_arguments"),
    CliCommand("get", "print the value that counts", "settings:get_arguments"),
    CliCommand("set", "write a setting into the file", "settings:set_arguments"),
    CliCommand("reset", "take a setting out of the file; without KEY: all", "settings:reset_arguments"),
    CliCommand("path", "print where the file is", "settings:path_arguments"),
)
EVAL = (
    CliCommand("live", "carry out the checks of a VM or deployment that runs", "eval_live:arguments"),
    CliCommand("libvirt", "a VM from outside: screen, keys, QMP, guest agent", "eval_machine:libvirt_arguments"),
    CliCommand("spice", "a VM's SPICE server: status, screenshot, pointer, keys", "eval_machine:spice_arguments"),
)
COMMANDS = (
    CliCommand(
        "vm",
        "build, create, start, stop, destroy, list and reach VMs",
        description="VMs of vms.yml.",
        verbs=VM,
        group="Virtual machines",
    ),
    CliCommand(
        "image",
        "build, pull, list and inspect container images",
        description="Container images of image.yml, in podman's storage.",
        verbs=IMAGE,
        group="Images",
    ),
    CliCommand(
        "deploy",
        "put layers into VMs, and take them out again",
        description="Layers of layers/ in VMs, as deploy.yml says.",
        verbs=DEPLOY,
        group="Virtual machines",
    ),
    CliCommand(
        "eval", "look at VMs that run", description="Look at VMs that run.", verbs=EVAL, group="Virtual machines"
    ),
    CliCommand("update", "make a disposable VM anew, with its layers", "update:arguments", group="Virtual machines"),
    CliCommand(
        "list",
        "list the project's VMs: how they are built, and their instances",
        "overview:list_arguments",
        group="Look before you build",
    ),
    CliCommand("status", "the project at a glance", "overview:status_arguments", group="Look before you build"),
    CliCommand("plan", "show what would run and why; run nothing", "plan:arguments", group="Look before you build"),
    CliCommand("why", "explain one step: inputs, receipt, reason", "why:arguments", group="Look before you build"),
    CliCommand("graph", "print the graph of steps", "draw:arguments", group="Look before you build"),
    CliCommand("report", "write a page about the project for a browser", "report:arguments", group="Project and host"),
    CliCommand("init", "write the first files of a project", "init:arguments", group="Project and host"),
    CliCommand("images", "list official images, for source: in vms.yml", "images:arguments", group="Images"),
    CliCommand("lock", "pin image URLs in ovtasks.lock", "lock:arguments", group="Images"),
    CliCommand("gc", "remove base images that nobody uses", "gc:arguments", group="Images"),
    CliCommand(
        "validate",
        "check vms.yml, image.yml, deploy.yml and the layers",
        "validate:arguments",
        group="Look before you build",
    ),
    CliCommand(
        "migrate", "rewrite files of other versions in today's format", "migrate:arguments", group="Project and host"
    ),
    CliCommand(
        "settings",
        "show and change the user's settings",
        description="Settings for all projects. A variable wins over the file, the file over the default.",
        verbs=SETTINGS,
        group="Project and host",
    ),
    CliCommand(
        "completion",
        "make a shell complete commands and names",
        "shells:arguments",
        group="Project and host",
    ),
    CliCommand("man", "show the manual page of a command", "man:arguments", group="Project and host"),
    CliCommand("explain", "say what an error means, and what to do", "explain:arguments", group="Project and host"),
    CliCommand("doctor", "try what VMs need of this host", "doctor:arguments", group="Project and host"),
    CliCommand("ssh-config", "ssh's configuration of the VMs", "reach:ssh_config_arguments", group="Virtual machines"),
)
