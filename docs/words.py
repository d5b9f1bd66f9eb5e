"""The parts of ``docs/vms.md`` that no schema can say: editors, YAML 1.1 and 1.2, sharing between VMs, secrets."""

WORDS = """\
## In an editor

Editors with [yaml-language-server](https://github.com/redhat-developer/yaml-language-server) complete and check
`vms.yml` as you type, if the first line of the file names the schema:

```yaml
# yaml-language-server: $schema=/home/ann/.venvs/ov/lib/python3.13/site-packages/ovtasks/schemas/vms.schema.json
```

`ov init` writes this line with the path of the installed ov, or `schemas/vms.schema.json` in a checkout of ovtasks. The
same folder holds `image.schema.json`, `layer.schema.json`, `deploy.schema.json` and `overthink.schema.json`.

## Values: yes, no, 0644, 1.10

ov reads a value without quotes as the type that its field expects:

| written | field expects true or false | field expects text | field expects a number |
|---|---|---|---|
| `true`, `yes`, `on`, `false`, `no`, `off` | true or false, also in capitals | the word | an error |
| `12`, `1.10` | an error | the text, as written | 12, 1.1 |
| `0644`, `012`, `1e3`, `0x1F`, `1_000`, `12:30` | an error | the text, as written | an error |
| `52:54:00:12:34:56`, `2024-01-01` | an error | the text, as written | an error |
| `~`, `null`, nothing | the field's default | the field's default | the field's default |

Quotes make any value text. A key is always text, and may appear only once. Anchors, aliases and `<<:` work, and the
tags `!!str`, `!!int`, `!!float`, `!!bool` and `!!null`. In `libvirt:`, numbers may have libvirt's notation (`0x1F`),
and switches may be `yes` or `on`, with or without quotes.

**`cloud_init.network` and `cloud_init.extra` follow cloud-init's rules.** cloud-init reads YAML 1.1 with PyYAML, so
here `no` and `off` are false everywhere, `0644` is 420, `12:30` is 750, and `52:54:00:12:34:56` is a number (quote such
a MAC address). `1e3` and `y` are text, and all tags of PyYAML work. If PyYAML could not read a value, ov reports an
error with its place.

`cloud_init.extra` is merged into the user-data that ov writes:

* Mappings are merged key by key. Your lists follow ov's lists. Duplicates stay, except in packages and keys. Any other
  value of yours replaces ov's.
* Accounts are merged by name, so the login user keeps its key.
* `default`, the image's own account, stays if ov gives it the key, or if ov lists accounts itself. If only you list
  accounts, include `default` to keep it.
* `ov validate` reports settings that would lock out the user with the key: `disable_root` for root,
  `ssh_redirect_user`, a shell that refuses logins.
* If `extra` is text, it may begin with `#cloud-config`. ov refuses other kinds of user-data and names them
  (`## template: jinja`, `#!`, `#cloud-boothook`, `#include`, MIME and so on).

## Older files

Renamed keys work under all their names: `cpu`, `snapshot`, `package`, `port_forward`, `device` and `disk` mean `cpus`,
`snapshots`, `packages`, `port_forwards`, `devices` and `disks`, also in `overthink.yml`, `deploy.yml` and `layer.yml`.
Use one name per key: two names of the same key are an error. `vm:` and `vms:` mean the same in every file.

ov accepts sections and images that have nothing to do with VMs. `ov validate` names them in one line, and `ov -v
validate` shows where they are. An image that another program builds (`from: builder:…`) is an error only if a VM uses
it.

A mistake in one VM affects only that VM: `ov vm build web` prints the mistakes of other VMs as warnings, and builds
`web`. `ov validate` and commands for all VMs fail. A mistake in a layer, deployment or image affects the VMs that use
it. A file that is not YAML affects all.

## Shared fields: defaults, extends, templates

```yaml
defaults:                    # for all VMs of this file
  ram: 2G
vms:
  .base:                     # a template: it is never built
    source: debian:13
    disk_size: 10G
    cloud_init: {packages: [git, vim], timezone: Europe/Berlin}
  web:
    extends: .base
    ram: 4G                  # replaces the default
  db:
    extends: web
    cloud_init:
      packages: [postgresql] # a list replaces a list
      timezone: null         # drops the inherited value
```

A VM takes the `defaults:` of its file, then the fields of the entries that it `extends`, then its own fields. A later
value replaces an earlier one. Mappings are merged key by key, at every depth; lists and all other values are replaced.
A `source:` that is a name, or has another `kind`, replaces the whole source. `null` drops an inherited value; without
one, it means the field's default, as everywhere.

* `extends` names another entry, in any file of the project. That entry may extend a third one. You can extend an
  ordinary VM as well as a template.
* A template has a name that starts with a dot (`.base`), or says `abstract: true`. It may leave out `source:`. It has
  no build steps, and commands refuse its name.
* `defaults:` works in `vms.yml` and `vm.yml`, for the VMs of that file, in all its YAML documents. In `overthink.yml`
  and all other files `defaults:` is about container images, and a note says "changes nothing". An entry that is
  extended from another file brings along the defaults of its own file.
* Templates and `defaults:` may not contain fields that identify one machine: `network.mac` and `mac` of other
  interfaces, `ssh.port`, `cloud_init.hostname`, the vsock `cid`, serial numbers in `sysinfo`. A VM does not inherit
  them either. ov makes names, host keys and generated login keys for each VM anyway.
* A relative path means the same place for every heir: it starts at the folder of the file that contains it.
* `cloud_init.network` and `cloud_init.extra` are merged as cloud-init reads their values. If one `extra` is text, it is
  replaced as a whole.
* ov reports a mistake once, at the line of the wrong value, and only the VMs that inherit it fail. Errors at `extends`
  are an unknown name, a circle, and an entry with a mistake of its own.
* `ov plan`, `ov why`, `ov vm xml` and other commands show the merged VM. If you change a base entry, only those steps
  of its heirs become stale that read the field. `ov why STEP` names the entry and the line.
* `ov vm import` and `ov vm clone` write into `vms.yml`, so the `defaults:` there apply to their entries.
* An editor checks each entry by itself. It marks `null`, and fields that only a template provides. `ov validate`
  checks the merged VM.
* The settings `vm.*` (`ov settings`) fill in what neither the VM nor `defaults:` says.

## Secrets

ov treats every value as secret unless it is known to be harmless. From `cloud_init`, `ov plan` and `ov why` show
`hostname`, `timezone`, `locale`, `packages`, `users`, the names and owners of `write_files`, switches, and the
addresses and names in `network`. For everything else (contents of `write_files`, `runcmd`, `bootcmd`, passwords, Wi-Fi
keys, all of `extra`), they say that it changed, and hide the old and the new value.

A URL is shown without user, password and parameters such as `token=`, `sig=` or `X-Amz-…`; the rest stays readable,
also in `ovtasks.lock`. Receipts hold salted digests of hidden values, slow to guess. Receipts, seeds, an instance's
files, logs and ov's caches of `vms.yml` have mode 0600. `ov vm xml` and `ov vm argv` print the full definition of a
VM, including display passwords.

"""
