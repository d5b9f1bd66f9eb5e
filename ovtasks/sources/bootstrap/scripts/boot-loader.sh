#!/bin/sh
# boot-loader.sh ROOT OUT EARLY_CFG BIOS PACKAGE... : take the boot loader's parts out of the distribution's packages.
# A hook of mmdebstrap: ROOT is the image's tree with apt's lists still there. Nothing of GRUB stays in it.
set -eu
root=$1 out=$2 early=$3 bios=$4
shift 4
work=$root/var/tmp/boot-loader
mkdir -p "$work/debs" "$work/tree" "$out"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
(cd "$work/debs" && apt-get -q -o APT::Sandbox::User=root download "$@")
for deb in "$work"/debs/*.deb; do
  dpkg-deb --extract "$deb" "$work/tree"
  dpkg-deb --show --showformat='${Package} ${Version} ${Architecture}\n' "$deb"
done > "$out/packages"
if [ "$bios" = yes ]; then
  # The program of the image's own release, run inside it: what it needs of the C library is there.
  cp "$early" "$work/early.cfg"
  chroot "$root" env LD_LIBRARY_PATH="$(cd "$work/tree" && echo usr/lib/*-linux-gnu* lib/*-linux-gnu* |
    sed 's, ,:,g; s,\(^\|:\),&/var/tmp/boot-loader/tree/,g')" \
    /var/tmp/boot-loader/tree/usr/bin/grub-mkimage --format=i386-pc \
    --directory=/var/tmp/boot-loader/tree/usr/lib/grub/i386-pc --prefix=/boot/grub \
    --config=/var/tmp/boot-loader/early.cfg --output=/var/tmp/boot-loader/core.img \
    biosdisk part_gpt ext2 btrfs search search_fs_uuid normal configfile linux echo test serial terminal gzio
  cp "$work/core.img" "$work/tree/usr/lib/grub/i386-pc/boot.img" "$out/"
fi
for dir in shim grub/x86_64-efi-signed grub/arm64-efi-signed; do
  if [ -d "$work/tree/usr/lib/$dir" ]; then
    find "$work/tree/usr/lib/$dir" -type f -name '*.signed*' -exec cp {} "$out/" \;
  fi
done
rm -rf "$work"
# Not compiled by its package; each boot of a fresh VM would do it, at the cost of seconds without KVM.
if [ -d "$root/usr/share/netplan" ]; then
  chroot "$root" python3 -m compileall -q /usr/share/netplan
fi
