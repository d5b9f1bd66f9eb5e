#!/bin/sh
# pacman-finish.sh ROOT OUT EARLY_CFG : make the boot loader's parts with the tree's own GRUB, enable its services, and
# remove what a build leaves and no VM needs.
# shellcheck disable=SC2086 # the modules are words without blanks
set -eu
root=$1 out=$2 early=$3
mkdir -p "$out" "$root/var/tmp/ov"
cp "$early" "$root/var/tmp/ov/early.cfg"
modules="part_gpt ext2 btrfs search search_fs_uuid normal configfile linux echo test serial terminal gzio"
chroot "$root" grub-mkimage --format=i386-pc --prefix=/boot/grub --config=/var/tmp/ov/early.cfg \
  --output=/var/tmp/ov/core.img biosdisk $modules
chroot "$root" grub-mkimage --format=x86_64-efi --prefix=/boot/grub --config=/var/tmp/ov/early.cfg \
  --output=/var/tmp/ov/grubx64.efi fat $modules
cp "$root/var/tmp/ov/core.img" "$root/var/tmp/ov/grubx64.efi" "$root/usr/lib/grub/i386-pc/boot.img" "$out/"
rm -rf "$root/var/tmp/ov"
for unit in sshd systemd-networkd systemd-resolved ov-pacman-keys cloud-init-main cloud-init-local cloud-init \
  cloud-init-network cloud-config cloud-final; do
  if [ -e "$root/usr/lib/systemd/system/$unit.service" ] || [ -e "$root/etc/systemd/system/$unit.service" ]; then
    chroot "$root" env SYSTEMD_OFFLINE=1 systemctl enable "$unit.service"
  fi
done
rm -rf "$root"/var/cache/pacman/pkg/* "$root"/var/lib/pacman/sync "$root"/etc/pacman.d/gnupg
# When a package was installed is not worth a difference.
find "$root/var/lib/pacman/local" -name desc -exec sed -i "/^%INSTALLDATE%\$/{n;s/.*/$SOURCE_DATE_EPOCH/}" {} +
