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

## What VMs share: defaults, extends, templates

```yaml
defaults:                    # for all VMs of this file
  ram: 2G
vms:
  .base:                     # a template: it is not built
    source: debian:13
    disk_size: 10G
    cloud_init: {packages: [git, vim], timezone: Europe/Berlin}
  web:
    extends: .base
    ram: 4G                  # wins over the default
  db:
    extends: web
    cloud_init:
      packages: [postgresql] # a list replaces a list
      timezone: null         # nothing is inherited here
```

A VM has the `defaults:` of its file, then what stands in the entries that it `extends`, the remotest first, then its
own fields. The nearest wins. Mappings are merged key by key, at every depth; lists and all other values are replaced;
`null` removes what would be inherited. A `source:` that is a name, or of another `kind`, replaces the whole source.
`null` where nothing is inherited means the default, as everywhere.

* `extends` names another entry, in any file of the project. That entry may extend a third one. A VM that is built can
  be extended like a template.
* A template has a name with a dot before it (`.base`), or says `abstract: true`. It may lack a source. It has no steps,
  and no command takes its name.
* `defaults:` counts in `vms.yml` and `vm.yml`, and there for the VMs of that file alone, also for those of its other
  documents. In `overthink.yml` and all other files `defaults:` is about container images: it keeps its note "changes
  nothing". If a VM extends an entry of another file, that entry brings the defaults of its file along.
* What names one machine stays with it: `network.mac` and `mac` of further cards, `ssh.port`, `cloud_init.hostname`, the
  vsock `cid`, serial numbers in `sysinfo`. Names, host keys and generated login keys are made for each VM anyway. A
  template or `defaults:` with such a field is an error.
* A relative path means the same place for all: it starts at the folder of the file in which it stands.
* `cloud_init.network` and `cloud_init.extra` are merged by the values that cloud-init reads. An `extra` that is text
  replaces, and is replaced.
* A mistake is told once, at the line where the wrong value stands, and spoils only the VMs that have it. An unknown
  name, a circle, and an entry that has a mistake by itself are errors at `extends`.
* `ov vm plan`, `ov why`, `ov vm xml` and the like show the merged VM. After a change in a base exactly those steps of
  the heirs are stale that read the changed field, and `ov why STEP` names the entry and the line behind it.
* An entry that `ov vm import` or `ov vm clone` writes stands in `vms.yml`, and has its defaults, too.
* An editor's check by the schema sees one entry at a time: it marks `null`, and fields that a template's source still
  lacks. `ov validate` sees the whole.
* The settings `vm.*` (`ov settings`) stand behind `defaults:`: they fill in what neither says.

## Secrets

Nothing is marked as secret: what is not known to be harmless is. Of `cloud_init` these are shown by `ov plan` and `ov
why`: `hostname`, `timezone`, `locale`, `packages`, `users`, names and owners of `write_files`, switches, addresses
and names in `network`. Everything else (contents of `write_files`, `runcmd`, `bootcmd`, passwords, Wi-Fi keys, what
stands in `extra`) is named when it changes, without old and new. A URL is shown without user, password and parameters
such as `token=`, `sig=` or `X-Amz-…`; the rest of it stays readable, also in `ovtasks.lock`. Receipts hold digests of
what is hidden, salted and slow to guess, and are 0600; so are seeds, an instance's files, logs and our caches of
`vms.yml`. `ov vm xml` and `ov vm argv` print what a VM is really defined with, passwords of displays included.

"""
