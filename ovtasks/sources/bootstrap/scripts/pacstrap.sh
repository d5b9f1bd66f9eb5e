#!/bin/sh
# pacstrap.sh SCRATCH KEYRING... -- PACKAGE... : make SCRATCH/root with pacstrap. Runs in a mount namespace of its own.
# SCRATCH holds pacman.conf (with GPGDir = @GPG@), keyrings/, early/ (files before the packages), late/ (after them).
set -eu
scratch=$1
shift
# gpg's sockets have short names only: its folder is a file system in memory, which goes with this namespace.
for place in /mnt /media /srv /opt; do
  case $scratch/ in "$place"/*) continue ;; esac
  [ -d "$place" ] && break
done
mount -t tmpfs -o mode=0700 gnupg "$place"
# Below /run/user gpg would name its sockets after the folder, and all builds on this machine would share one agent.
[ ! -d /run/user ] || mount -t tmpfs -o mode=0755 user /run/user
mkdir -m 0700 "$place/gnupg"
sed "s,@GPG@,$place/gnupg," "$scratch/pacman.conf" > "$place/pacman.conf"
names=
while [ "$1" != -- ]; do
  names="$names $1"
  shift
done
shift
echo "ov: keys"
pacman-key --config "$place/pacman.conf" --gpgdir "$place/gnupg" --init
echo disable-dirmngr >> "$place/gnupg/gpg.conf" # pacman would look for unknown keys on the network
# Where pacman-key looks for keyrings: Debian's build of it in the first, all others in the second folder.
for folder in /usr/share/keyrings /usr/share/pacman/keyrings; do
  [ ! -d "$folder" ] || mount --bind "$scratch/keyrings" "$folder"
done
# shellcheck disable=SC2086 # the names are words without blanks
pacman-key --config "$place/pacman.conf" --gpgdir "$place/gnupg" --populate $names
mkdir -p "$scratch/root"
cp -R "$scratch/early/." "$scratch/root"
echo "ov: packages"
pacstrap -C "$place/pacman.conf" -G -M "$scratch/root" "$@"
cp -R "$scratch/late/." "$scratch/root"
[ ! -e "$scratch/pacman.add" ] || cat "$scratch/pacman.add" >> "$scratch/root/etc/pacman.conf"
