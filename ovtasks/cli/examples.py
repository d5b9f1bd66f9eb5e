"""Two examples for each command, for its ``--help``, its manual page and docs/commands.md: a line → what it does.

The key is the command without ``ov``. tests/cli/test_examples.py parses each line as ``ov`` does.
"""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, Mapping[str, str]] = {
    "": {
        "ov vm create web": "build what web needs and start it",
        "ov plan": "what would run, and why",
    },
    "vm": {
        "ov vm create web": "build what web needs and start it",
        "ov vm list -a": "every VM, including stopped ones",
    },
    "vm build": {
        "ov vm build web": "build what is stale of web",
        "ov vm build -n 4 --continue": "build all VMs, four steps at once; a failure stops only its own VM",
    },
    "vm create": {
        "ov vm create web": "build what is stale, make the VM, start it",
        "ov vm create web -i test --ram 8G": "a second VM of web, with its own disk and more memory",
    },
    "vm start": {
        "ov vm start web db": "start two VMs",
        "ov vm start --all": "start every VM of this project",
    },
    "vm stop": {
        "ov vm stop web": "shut the guest down, and wait until it is off",
        "ov vm stop web --force": "power it off at once",
    },
    "vm restart": {
        "ov vm restart web": "shut the guest down, then start it",
        "ov vm restart web --timeout 20": "power it off if it still runs after 20 s",
    },
    "vm suspend": {
        "ov vm suspend web": "pause the VM; it stays in memory",
        "ov vm suspend --all": "pause every VM of this project",
    },
    "vm resume": {
        "ov vm resume web": "continue the VM",
        "ov vm resume web -i test": "continue the instance test",
    },
    "vm reset": {
        "ov vm reset web": "reset the machine without asking the guest",
        "ov vm reset --all": "reset every VM of this project",
    },
    "vm destroy": {
        "ov vm destroy web": "remove the definition, keep the disk",
        "ov vm destroy web --disk -y": "remove the VM with its disk, without a question",
    },
    "vm list": {
        "ov vm list -a": "every VM, including stopped ones",
        "ov vm list --json": "the running ones, for a script",
    },
    "vm status": {
        "ov vm status web": "state, address, disk, and what a restart would change",
        "ov vm status web -i test --json": "an instance, for a script",
    },
    "vm ip": {
        "ov vm ip web": "address and port of the guest's SSH server",
        "ov vm ip web --json": "the same for a script",
    },
    "vm logs": {
        "ov vm logs web -n 20": "the last 20 lines of the serial console",
        "ov vm logs web -f": "follow new lines",
    },
    "vm snapshot": {
        "ov vm snapshot create web clean": "keep the current state of the disk",
        "ov vm snapshot revert web clean": "go back to that",
    },
    "vm snapshot create": {
        "ov vm snapshot create web clean": "keep the current state of the disk",
        "ov vm snapshot create web busy --memory": "also keep the memory of the running VM",
    },
    "vm snapshot list": {
        "ov vm snapshot list web": "names, times and descriptions",
        "ov vm snapshot list web --json": "the same for a script",
    },
    "vm snapshot info": {
        "ov vm snapshot info web clean": "everything about one snapshot",
        "ov vm snapshot info web clean -i test": "one of the instance test",
    },
    "vm snapshot revert": {
        "ov vm snapshot revert web clean": "revert; the VM must be off",
        "ov vm snapshot revert web clean --force": "power off, revert, start",
    },
    "vm snapshot delete": {
        "ov vm snapshot delete web clean": "forget the snapshot; the disk stays as it is",
        "ov vm snapshot delete web clean -i test": "one of the instance test",
    },
    "vm clone": {
        "ov vm clone copy --from web": "a VM with a copy of web's current disk",
        "ov vm clone copy --from web@clean --build": "from a snapshot, built at once",
    },
    "vm import": {
        "ov vm import old": "an entry for libvirt's domain old, and a copy of its disk",
        "ov vm import old --name web --reference": "as web, with the disk where it is",
    },
    "vm edit": {
        "ov vm edit web": "open the editor at web's lines, then say what changes",
        "ov vm edit web --json": "what changes, for a script",
    },
    "vm xml": {
        "ov vm xml web": "the definition of web, now or after create",
        "ov vm xml web --for-host": "fail if this host cannot run it",
    },
    "vm argv": {
        "ov vm argv web": "QEMU's command line, one argument a line",
        "ov vm argv web --json": "as a list for a script",
    },
    "vm diff": {
        "ov vm diff web": "changes in vms.yml that the VM does not have yet",
        "ov vm diff web -i test --json": "the same of an instance, for a script",
    },
    "vm ssh": {
        "ov vm ssh web": "log in",
        "ov vm ssh web -l root -- systemctl is-system-running": "run a command as root",
    },
    "vm run": {
        "ov vm run web -- uname -a": "boot a VM like web, run the command, remove the VM",
        "ov vm run web --for cloud-init -- make test": "wait for its packages first",
    },
    "vm scp": {
        "ov vm scp web notes.txt :/tmp/": "copy a file into the guest",
        "ov vm scp web -r :/var/log logs": "copy a folder out of it",
    },
    "vm ssh-config": {
        "ov vm ssh-config web": "print the lines for web",
        "ov vm ssh-config --install": "make `ssh ov-web` work everywhere",
    },
    "vm console": {
        "ov vm console web": "type at the serial console; ^] leaves",
        "ov vm console web --log": "only look",
    },
    "vm wait": {
        "ov vm wait web --for cloud-init": "until the guest is set up",
        "ov vm wait web --probe 'systemctl is-active nginx'": "until this command succeeds in it",
    },
    "vm screenshot": {
        "ov vm screenshot web": "into screenshot.png",
        "ov vm screenshot web -i test screen.png": "of an instance, into a file of your choice",
    },
    "vm view": {
        "ov vm view web": "open a window with the VM's screen",
        "ov vm view web -i test": "with an instance's screen",
    },
    "vm sendkey": {
        "ov vm sendkey web ctrl alt delete": "press three keys together",
        "ov vm sendkey web f2 --hold 2000": "hold a key for two seconds",
    },
    "vm type": {
        "ov vm type web --enter root": "type a line",
        "ov vm type web -": "type the text from stdin",
    },
    "image": {
        "ov image list": "the images and their states",
        "ov image build desktop": "build one, if stale",
    },
    "image build": {
        "ov image build": "build all stale images that have a containerfile",
        "ov image build desktop --refresh": "ask for a newer base image first",
    },
    "image pull": {
        "ov image pull": "ask for newer images",
        "ov image pull desktop --locked": "only if every image has a digest in its name",
    },
    "image list": {
        "ov image list": "the images and their states",
        "ov image list --json": "the same for a script",
    },
    "image inspect": {
        "ov image inspect desktop": "digest, size, labels, and whether bootc can install it",
        "ov image inspect quay.io/fedora/fedora-bootc:42": "an image that image.yml does not name",
    },
    "deploy": {
        "ov deploy add vm:web tools": "apply the layer tools to web",
        "ov deploy status vm:web": "what is in it",
    },
    "deploy add": {
        "ov deploy add vm:web tools --dry-run": "what would be done",
        "ov deploy add vm:web tools --verify": "apply the layer to web, then run its checks",
    },
    "deploy del": {
        "ov deploy del vm:web tools": "remove one layer",
        "ov deploy del vm:web --dry-run": "what removing all layers would undo",
    },
    "deploy list": {
        "ov deploy list": "every deployment and its layers",
        "ov deploy list --json": "the same for a script",
    },
    "deploy status": {
        "ov deploy status vm:web": "the layers in web",
        "ov deploy status vm:web --drift": "compare them with the guest",
    },
    "deploy plan": {
        "ov deploy plan vm:web": "what add would do, and why",
        "ov deploy plan vm:web --exit-code": "end with 4 if something would be done",
    },
    "eval": {
        "ov eval live web": "run the checks of web",
        "ov eval libvirt info web": "its state, as QEMU reports it",
    },
    "eval live": {
        "ov eval live web": "run all checks of web",
        "ov eval live web --tag net --junit checks.xml": "run some of them, and write a file for CI",
    },
    "eval libvirt": {
        "ov eval libvirt screenshot web screen.png": "what the display shows",
        "ov eval libvirt guest exec web -- uptime": "run a command by the guest agent",
    },
    "eval spice": {
        "ov eval spice status web": "what the SPICE server offers",
        "ov eval spice type web hello": "type on the VM's keyboard",
    },
    "update": {
        "ov update web --dry-run": "each step, and why",
        "ov update web --rebuild-image": "remake web from a newer base image",
    },
    "list": {
        "ov list": "the project's VMs, whether they are built, and their instances",
        "ov list --json": "the same for a script",
    },
    "status": {
        "ov status": "show the project at a glance",
        "ov status --json": "the same for a script",
    },
    "plan": {
        "ov plan web": "which of web's steps would run, and why",
        "ov plan create:web --exit-code": "end with 4 if something would run",
    },
    "why": {
        "ov why disk:web": "what the disk is made from, and why it would run",
        "ov why seed:web --json": "the same for the seed, as JSON",
    },
    "graph": {
        "ov graph web --format svg > web.svg": "a picture of one VM's steps",
        "ov graph --format mermaid": "all VMs, for a Markdown page",
    },
    "report": {
        "ov report --open": "write the page and show it",
        "ov report --output - > report.html": "print it",
    },
    "init": {
        "ov init": "a project with a Debian VM",
        "ov init cluster": "a project with three nodes on a private network",
    },
    "images": {
        "ov images": "every official image",
        "ov images debian": "the images of one distribution",
    },
    "lock": {
        "ov lock": "pin the images that are not pinned yet",
        "ov lock --update web": "pin what web's URL stands for now",
    },
    "gc": {
        "ov gc -n": "show what would be removed",
        "ov gc --older-than 30d": "remove images unused for a month",
    },
    "validate": {
        "ov validate": "every mistake in the project's files",
        "ov validate layers/tools/layer.yml": "in one file",
    },
    "migrate": {
        "ov migrate --dry-run": "what would change",
        "ov migrate --output new": "write the new files beside the old ones",
    },
    "settings": {
        "ov settings list": "every setting with its origin",
        "ov settings set vm.backend qemu": "change a setting",
    },
    "settings list": {
        "ov settings list": "every setting",
        "ov settings list --json": "the same for a script",
    },
    "settings get": {
        "ov settings get vm.backend": "print one value",
        "ov settings get vm.ram": "memory of VMs without ram",
    },
    "settings set": {
        "ov settings set vm.backend qemu": "run VMs without libvirt",
        "ov settings set vm.ram 8G": "memory of VMs without ram",
    },
    "settings reset": {
        "ov settings reset vm.ram": "back to the default",
        "ov settings reset": "all of them",
    },
    "settings path": {
        "ov settings path": "where the file is",
        "ov -q settings path": "the same without notes",
    },
    "completion": {
        "ov completion bash": "print the lines for bash; ov completion --help says where they go",
        "ov completion fish > ~/.config/fish/completions/ov.fish": "write them to a file for fish",
    },
    "man": {
        "ov man vm create": "the manual page of a command",
        "ov man --dir ~/.local/share/man": "write all pages for man",
    },
    "explain": {
        "ov explain OV-9038": "what this error means, and what to do",
        "ov explain 'the disk is full'": "the same by its text",
    },
    "doctor": {
        "ov doctor": "check what VMs need on this host, and name what is missing",
        "ov -q doctor": "only what is missing",
    },
    "ssh-config": {
        "ov ssh-config --install": "make `ssh ov-web` work everywhere",
        "ov ssh-config": "print the lines of all VMs",
    },
}


def examples_of(words: tuple[str, ...]) -> Mapping[str, str]:
    """The examples of a command; empty if it has none."""
    if words[:1] == ("eval",) and len(words) > 2:
        from ovtasks.cli.eval_examples import METHODS

        return METHODS.get(" ".join(words), {})
    return EXAMPLES.get(" ".join(words), {})


def shown(words: tuple[str, ...]) -> str:
    """The examples of a command as the end of its help; empty if it has none."""
    found = examples_of(words)
    width = max(map(len, found), default=0)
    return "".join(f"  {command:<{width}}  {what}\n" for command, what in found.items())
