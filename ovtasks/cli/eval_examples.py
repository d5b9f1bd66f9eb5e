"""Two examples for each method of ``ov eval libvirt`` and ``ov eval spice``, as in :mod:`.examples`."""

from __future__ import annotations

from collections.abc import Mapping

METHODS: Mapping[str, Mapping[str, str]] = {
    "eval libvirt info": {
        "ov eval libvirt info web": "state, memory, processors and graphics, as JSON",
        "ov eval libvirt info web --format text": "the same, a line for each value",
    },
    "eval libvirt screenshot": {
        "ov eval libvirt screenshot web": "save the screen as screenshot.png",
        "ov eval libvirt screenshot web -": "print the PNG, for another program",
    },
    "eval libvirt send-key": {
        "ov eval libvirt send-key web ctrl+alt+delete": "press three keys together",
        "ov eval libvirt send-key web KEY_ENTER --hold 200": "hold a key for 200 ms",
    },
    "eval libvirt passwd": {
        "ov eval libvirt passwd web": "ask for the new password of the display",
        "ov eval libvirt passwd web --persistent": "keep it after a restart, too",
    },
    "eval libvirt qmp": {
        "ov eval libvirt qmp web query-status": "ask QEMU for its state",
        'ov eval libvirt qmp web screendump \'{"filename": "/tmp/a.ppm"}\'': "give arguments",
    },
    "eval libvirt domain-xml": {
        "ov eval libvirt domain-xml web": "the domain as it runs",
        "ov eval libvirt domain-xml web --config": "the domain as it will start next",
    },
    "eval libvirt console": {
        "ov eval libvirt console web": "5 seconds of what the console says",
        "ov eval libvirt console web --duration 60": "a minute of it",
    },
    "eval libvirt events": {
        "ov eval libvirt events web": "10 seconds of QEMU's events",
        "ov eval libvirt events web --duration 600": "10 minutes of them, one JSON object a line",
    },
    "eval libvirt snapshot": {
        "ov eval libvirt snapshot list web": "the snapshots of web",
        "ov eval libvirt snapshot create web before-upgrade": "make one",
    },
    "eval libvirt snapshot list": {
        "ov eval libvirt snapshot list web": "the snapshots of web",
        "ov eval libvirt snapshot list web --format text": "the same, a line for each value",
    },
    "eval libvirt snapshot create": {
        "ov eval libvirt snapshot create web before-upgrade": "keep the disk as it is now",
        "ov eval libvirt snapshot create web before-upgrade --memory": "keep the memory, too",
    },
    "eval libvirt snapshot info": {
        "ov eval libvirt snapshot info web before-upgrade": "when it was made, and what it keeps",
        "ov eval libvirt snapshot info web -i test clean": "the same of the instance test",
    },
    "eval libvirt snapshot revert": {
        "ov eval libvirt snapshot revert web before-upgrade": "put the disk back",
        "ov eval libvirt snapshot revert web before-upgrade --force": "power a running VM off for that",
    },
    "eval libvirt snapshot delete": {
        "ov eval libvirt snapshot delete web before-upgrade": "remove the snapshot, keep the disk",
        "ov eval libvirt snapshot delete web -i test clean": "the same of the instance test",
    },
    "eval libvirt guest": {
        "ov eval libvirt guest exec web -- uptime": "run a command by the guest agent",
        "ov eval libvirt guest interfaces web": "the guest's addresses",
    },
    "eval libvirt guest ping": {
        "ov eval libvirt guest ping web": "ask whether the agent answers",
        "ov eval libvirt guest ping web --timeout 60": "give it a minute",
    },
    "eval libvirt guest info": {
        "ov eval libvirt guest info web": "what this agent can do",
        "ov eval libvirt guest info web --format text": "the same, a line for each value",
    },
    "eval libvirt guest os-info": {
        "ov eval libvirt guest os-info web": "name and version of the guest's system",
        "ov eval libvirt guest os-info web --format text": "the same, a line for each value",
    },
    "eval libvirt guest time": {
        "ov eval libvirt guest time web": "how far the guest's clock is off",
        "ov eval libvirt guest time web --format text": "the same, a line for each value",
    },
    "eval libvirt guest hostname": {
        "ov eval libvirt guest hostname web": "the guest's name",
        "ov eval libvirt guest hostname web -i test": "the name of the instance test",
    },
    "eval libvirt guest users": {
        "ov eval libvirt guest users web": "who is logged in",
        "ov eval libvirt guest users web --format text": "the same, a line for each value",
    },
    "eval libvirt guest interfaces": {
        "ov eval libvirt guest interfaces web": "names, MACs and addresses",
        "ov eval libvirt guest interfaces web --format text": "the same, a line for each value",
    },
    "eval libvirt guest disks": {
        "ov eval libvirt guest disks web": "the disks as the guest sees them",
        "ov eval libvirt guest disks web --format text": "the same, a line for each value",
    },
    "eval libvirt guest fsinfo": {
        "ov eval libvirt guest fsinfo web": "what is mounted where, and how full it is",
        "ov eval libvirt guest fsinfo web --format text": "the same, a line for each value",
    },
    "eval libvirt guest vcpus": {
        "ov eval libvirt guest vcpus web": "the processors that are online",
        "ov eval libvirt guest vcpus web --format text": "the same, a line for each value",
    },
    "eval libvirt guest exec": {
        "ov eval libvirt guest exec web -- uptime": "run a command, and print what it says",
        "ov eval libvirt guest exec web --wait 600 -- apt-get -y upgrade": "give it 10 minutes",
    },
    "eval libvirt guest fstrim": {
        "ov eval libvirt guest fstrim web": "give free space back to the host",
        "ov eval libvirt guest fstrim web --minimum 1048576": "leave out pieces below 1 MiB",
    },
    "eval libvirt guest file": {
        "ov eval libvirt guest file read web /etc/os-release": "print a file of the guest",
        "ov eval libvirt guest file write web /root/note": "write stdin into one",
    },
    "eval libvirt guest file read": {
        "ov eval libvirt guest file read web /etc/os-release": "print a file of the guest",
        "ov eval libvirt guest file read web /var/log/syslog > syslog": "keep it on this host",
    },
    "eval libvirt guest file write": {
        "ov eval libvirt guest file write web /root/note": "write stdin, until Ctrl-D",
        "ov eval libvirt guest file write web -i test /root/note": "write it in the instance test",
    },
    "eval libvirt guest fsfreeze": {
        "ov eval libvirt guest fsfreeze status web": "ask whether the file systems are frozen",
        "ov eval libvirt guest fsfreeze freeze web -- sync": "freeze them while a command runs",
    },
    "eval libvirt guest fsfreeze status": {
        "ov eval libvirt guest fsfreeze status web": "frozen or thawed",
        "ov eval libvirt guest fsfreeze status web --format text": "the same as plain text",
    },
    "eval libvirt guest fsfreeze freeze": {
        "ov eval libvirt guest fsfreeze freeze web -- cp disk.qcow2 backup.qcow2": "freeze while a copy is made",
        "ov eval libvirt guest fsfreeze freeze web --seconds 5": "freeze for 5 seconds",
    },
    "eval libvirt guest fsfreeze thaw": {
        "ov eval libvirt guest fsfreeze thaw web": "thaw what a killed freeze left",
        "ov eval libvirt guest fsfreeze thaw web -i test": "the same in the instance test",
    },
    "eval libvirt list": {
        "ov eval libvirt list": "every VM of this user, as JSON",
        "ov eval libvirt list --uri qemu:///system": "the domains of the system's libvirt",
    },
    "eval spice status": {
        "ov eval spice status web": "what the SPICE server offers",
        "ov eval spice status web --password-file secret": "log in with the password in a file",
    },
    "eval spice screenshot": {
        "ov eval spice screenshot web": "save the display as screenshot.png",
        "ov eval spice screenshot web screen.png": "save it as screen.png",
    },
    "eval spice cursor": {
        "ov eval spice cursor web": "where the pointer is",
        "ov eval spice cursor web pointer.png": "save its image, too",
    },
    "eval spice click": {
        "ov eval spice click web 100 200": "click 100 pixels from the left, 200 from the top",
        "ov eval spice click web 100 200 --button right": "click with the right button",
    },
    "eval spice mouse": {
        "ov eval spice mouse web 100 200": "move the pointer",
        "ov eval spice mouse web 0 0": "move it to the corner",
    },
    "eval spice type": {
        "ov eval spice type web hello": "type on the keyboard",
        "ov eval spice type web 'ls -l'": "type a line with blanks",
    },
    "eval spice key": {
        "ov eval spice key web ctrl+alt+delete": "press three keys together",
        "ov eval spice key web f2": "press one key",
    },
}
