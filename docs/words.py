"""The part of ``docs/vms.md`` about words that YAML 1.1 and YAML 1.2 read differently."""

WORDS = """\
## Words: yes, no, 0644, 1.10

One rule for every field of ours: a value without quotes is what it looks like, taken as the field wants it.

| written | where truth is wanted | where text is wanted | where a number is wanted |
|---|---|---|---|
| `true`, `yes`, `on`, `false`, `no`, `off` | truth, in capitals, too | the word | an error |
| `12`, `1.10` | an error | the text, as written | 12, 1.1 |
| `0644`, `012`, `1e3`, `0x1F`, `1_000`, `12:30` | an error | the text, as written | an error |
| `52:54:00:12:34:56`, `2024-01-01` | an error | the text, as written | an error |
| `~`, `null`, nothing | the field's default | the field's default | the field's default |

Quotes make anything text. A key is always text, and written once. Anchors, aliases and
`<<:` work, and of tags `!!str`, `!!int`, `!!float`, `!!bool`, `!!null`. Numbers of `libvirt:` may be written as libvirt
takes them (`0x1F`), its switches as `yes` or `on`, quoted or not.

**`cloud_init.network` and `cloud_init.extra` are cloud-init's own text**, and mean to it what they would mean in a file
of yours: it reads YAML 1.1 by PyYAML. There `no` and `off` are false wherever they stand, `0644` is 420, `12:30` is
750, `52:54:00:12:34:56` is a number (quote such a MAC address), `1e3` and `y` are text, and every tag of PyYAML's
works. What PyYAML could not read is an error with its place.

`cloud_init.extra` is merged into what ov writes: mappings key by key, lists joined (yours come last; nothing that is
written twice is dropped, but for packages and keys), other values are yours. Accounts are joined by name, so that the
one who logs in keeps the key. `default`, the image's own account, stays as long as the key is its, or ov lists accounts
itself; a list that is yours alone says whether it is made. What would lock the key's user out (`disable_root` with
root, `ssh_redirect_user`, a shell that is none) is an error of `ov validate`. As text `extra` may begin with
`#cloud-config`; other kinds of user-data (`## template: jinja`, `#!`, `#cloud-boothook`, `#include`, MIME and so on)
are refused by name.

## Files of other versions

Keys that were only renamed have all their names: `cpu`, `snapshot`, `package`, `port_forward`, `device`, `disk` and
the like mean `cpus`, `snapshots`, `packages`, `port_forwards`, `devices`, `disks`, also in `overthink.yml`,
`deploy.yml` and `layer.yml`. Two names of one key at once are an error. `vm:` and `vms:` mean the same in every file.

Sections and images that are no VM's business are accepted. `ov validate` names them in one line, and with `-v` their
places. An image that another program builds (`from: builder:…`) is an error for a VM that is made from it.

A mistake in one VM is that VM's: `ov vm build web` prints mistakes of others as warnings, and builds. `ov validate`,
and what is about all VMs, fail. A layer, a deployment or an image spoils the VMs that it is for; a file that is not
YAML spoils all.

## Secrets

Nothing is marked as secret: what is not known to be harmless is. Of `cloud_init` these are shown by `ov plan` and `ov
why`: `hostname`, `timezone`, `locale`, `packages`, `users`, names and owners of `write_files`, switches, addresses
and names in `network`. Everything else (contents of `write_files`, `runcmd`, `bootcmd`, passwords, Wi-Fi keys, what
stands in `extra`) is named when it changes, without old and new. A URL is shown without user, password and parameters
such as `token=`, `sig=` or `X-Amz-…`; the rest of it stays readable, also in `ovtasks.lock`. Receipts hold digests of
what is hidden, salted and slow to guess, and are 0600; so are seeds, an instance's files, logs and our caches of
`vms.yml`. `ov vm xml` and `ov vm argv` print what a VM is really defined with, passwords of displays included.

"""
