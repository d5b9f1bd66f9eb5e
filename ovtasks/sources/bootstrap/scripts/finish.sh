#!/bin/sh
# finish.sh ROOT STAMP: take from the tree what differs from build to build or must differ from VM to VM.
# STAMP is a file made when the build began. Prints: time of the newest packaged file, 4 KiB blocks, inodes.
set -eu
root=$1 stamp=$2
newest=$(find "$root" -xdev -type f ! -newer "$stamp" -printf '%T@\n' | sort -n | tail -n 1)
newest=${newest%.*}
cd "$root"
find dev proc sys run tmp var/tmp -mindepth 1 -xdev -delete
# Identity: each VM makes its own at its first boot.
: > etc/machine-id
rm -f etc/ssh/ssh_host_* var/lib/dbus/machine-id var/lib/systemd/random-seed etc/hostname
# Traces of the build and of this machine.
rm -rf var/lib/apt/lists/* var/cache/apt/* var/cache/debconf/*-old var/cache/ldconfig/aux-cache
rm -f var/lib/dpkg/*-old var/lib/dpkg/lock* etc/*- etc/apt/apt.conf.d/99mmdebstrap etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -f boot/vmlinuz.old boot/initrd.img.old # so far they are the same kernel as without .old
find var/log -xdev -type f -delete
[ ! -e var/lib/dpkg ] || mkdir -p var/lib/apt/lists/partial var/cache/apt/archives/partial
if [ -e usr/lib/systemd/systemd-resolved ] || [ -e lib/systemd/systemd-resolved ]; then
  ln -sf ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
else
  rm -f etc/resolv.conf
fi
# The day on which a system account was made is not worth a difference.
day=$((SOURCE_DATE_EPOCH / 86400))
sed -i "s/^\([^:]*:[^:]*\):[0-9][0-9]*:/\1:$day:/" etc/shadow
find . -xdev -newermt "@$newest" -exec touch --no-dereference --date="@$newest" {} +
echo "$newest" "$(du -s -x --apparent-size -B 4096 . | cut -f 1)" "$(du -s -x --inodes . | cut -f 1)"
