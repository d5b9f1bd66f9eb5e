# shellcheck shell=bash disable=SC2153
# The second half of the stand-in: making the disk. Sourced by `bootc` beside it, which sets what is in capitals.

# --- the block device -------------------------------------------------------------------------------------------------
LOOP=
HELPER=
COPY=

clean_up() {
  set +e
  trap - EXIT INT TERM HUP
  if [ -n "$COPY" ]; then kill -KILL -- "-$COPY" 2> /dev/null; wait "$COPY" 2> /dev/null; fi
  umount --recursive "$MOUNT" 2> /dev/null
  umount "$SOURCE" 2> /dev/null
  if [ -n "$LOOP" ]; then losetup -d "$LOOP"; fi
  if [ -n "$HELPER" ]; then disown "$HELPER"; kill -KILL "$HELPER"; fi 2> /dev/null
}

# Frees the device when the installer has died without doing so: runs as a child with --pdeathsig TERM.
loopback_cleanup_helper() {
  trap 'losetup -d "$1" 2> /dev/null; exit' TERM
  exec 9<> <(:)
  while :; do read -r -t 3600 -u 9 || :; done
}

attach() {
  TARGET=$DEVICE
  if [ -n "${GIVEN[via-loopback]-}" ]; then
    LOOP=$(losetup --show --find --partscan "$DEVICE")
    setpriv --pdeathsig TERM -- "$SELF" internals loopback-cleanup-helper --device "$LOOP" < /dev/null > /dev/null 2>&1 &
    HELPER=$!
    TARGET=$LOOP
  fi
  FILESYSTEM=${GIVEN[filesystem]-$(configured_filesystem)}
  [ -n "$FILESYSTEM" ] || die "Creating rootfs: No root filesystem specified"
  ! grep -q "^$TARGET" /proc/1/mounts || die "Creating rootfs: Device $TARGET is mounted"
  if [ -n "${GIVEN[wipe]-}" ]; then
    echo "Wiping $TARGET"
    wipefs --all "$TARGET" > /dev/null
  elif sfdisk --json "$TARGET" 2> /dev/null | grep -q '"node"'; then
    die "Creating rootfs: Detected existing partitions on $TARGET;" \
      "use e.g. \`wipefs\` or --wipe if you intend to overwrite"
  fi
}

root_size_mib() {
  local text=$1 context="Creating rootfs: Parsing root size:" factor=1
  [[ $text =~ ^([0-9]*)([MGT]?)(.*)$ ]]
  case ${BASH_REMATCH[2]} in
    G) factor=1024 ;;
    T) factor=1048576 ;;
  esac
  case ${BASH_REMATCH[2]}/${BASH_REMATCH[3]} in
    */ | [MGT]/iB) ;;
    /*) die "$context invalid digit found in string" ;;
    *) die "$context Trailing text after size: ${BASH_REMATCH[3]}" ;;
  esac
  [ -n "${BASH_REMATCH[1]}" ] || die "$context cannot parse integer from empty string"
  echo $((BASH_REMATCH[1] * factor))
}

partition() {
  local size='' node=$TARGET esp=512
  if [ -n "${GIVEN[root-size]-}" ]; then size=$(root_size_mib "${GIVEN[root-size]}"); fi
  if [ -n "$COMPOSEFS" ]; then esp=1024; fi
  case $node in *[0-9]) node=${node}p ;; esac
  BIOS=${node}1 ESP=${node}2 ROOT=${node}3
  {
    echo "label: gpt"
    echo 'size=1MiB, bootable, type=21686148-6449-6E6F-744E-656564454649, name="BIOS-BOOT"'
    echo "size=${esp}MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"EFI-SYSTEM\""
    echo "${size:+size=${size}MiB, }"'type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="root"'
  } > /run/bootc/partitions
  printf 'Block setup: direct\n       Size: %s\n     Serial: <unknown>\n      Model: <unknown>\nInitializing partitions\n' \
    "$(blockdev --getsize64 "$TARGET")"
  sfdisk --wipe=always --quiet "$TARGET" < /run/bootc/partitions ||
    die "Creating rootfs: Failed to run sfdisk: Task Initializing partitions failed: ExitStatus(unix_wait_status(256))"
  [ -b "$ROOT" ] || partx --add "$TARGET" 2> /dev/null || :
  [ -b "$ROOT" ] || die "Creating rootfs: Missing partition for index 3"
}

make_filesystems() {
  UUID=$(< /proc/sys/kernel/random/uuid)
  echo "Creating root filesystem ($FILESYSTEM) on device $ROOT (size=$(($(blockdev --getsize64 "$ROOT") / 1000000)) MB)"
  case $FILESYSTEM in
    xfs) mkfs.xfs -f -q -m "uuid=$UUID" -L root "$ROOT" > /dev/null ;;
    ext4) mkfs.ext4 -q -F -U "$UUID" -L root -O verity "$ROOT" > /dev/null ;;
    btrfs) mkfs.btrfs -f -q -U "$UUID" -L root "$ROOT" > /dev/null ;;
  esac || die "Creating rootfs: Task Creating root filesystem ($FILESYSTEM) on device $ROOT failed:" \
    "ExitStatus(unix_wait_status(256))"
  mount -t "$FILESYSTEM" "$ROOT" "$MOUNT"
  echo "Creating ESP filesystem"
  mkfs.fat -n EFI-SYSTEM "$ESP" > /dev/null || die "Creating rootfs: Creating ESP filesystem failed"
}

# --- content ----------------------------------------------------------------------------------------------------------
copy_root() {
  set -o pipefail
  local tar=(tar --numeric-owner --xattrs '--xattrs-include=*' --acls)
  "${tar[@]}" -C "$SOURCE" -c --exclude='./tmp/*' . | "${tar[@]}" -C "$MOUNT" -x -p
}

# The real one asks before it copies; ostree for the room that the layers want, composefs for a manifest of OCI.
check_copy() {
  local free needed
  if [ -n "$COMPOSEFS" ]; then
    case $MANIFEST in
      application/vnd.docker.*) die "Pulling image into composefs repository: pulling: Invalid splitstream content type" ;;
    esac
    return
  fi
  free=$(($(stat --file-system --format '%a * %S' "$MOUNT")))
  needed=$(du --one-file-system --bytes --summarize --exclude=/proc --exclude=/sys --exclude=/dev / 2> /dev/null | cut -f1)
  ((free >= needed)) || die "Creating ostree deployment: Insufficient free space for containers-storage:$IMAGE" \
    "(available: $(megabytes "$free") required: $(megabytes "$needed"))"
}

# As GLib writes it: with a space that does not break.
megabytes() { printf '%d.%d\xc2\xa0MB' $(($1 / 1000000)) $(($1 % 1000000 / 100000)); }

# The container's own root: bound without what podman mounted into it. A signal ends the copy at once.
deploy() {
  echo "Deploying container image..."
  mount --bind / "$SOURCE"
  set -m
  copy_root &
  COPY=$!
  set +m
  wait "$COPY" || die "Deploying container image: writing to the root filesystem failed"
  COPY=
  umount "$SOURCE"
  mkdir -p "$MOUNT"/{proc,sys,dev,run,tmp,boot}
  : > "$MOUNT/etc/machine-id"
  printf 'UUID=%s / %s defaults 0 1\n' "$UUID" "$FILESYSTEM" > "$MOUNT/etc/fstab"
  if [ -n "$KEYS" ] && [ -z "$COMPOSEFS" ]; then
    case $(readlink /root || :) in
      /*) die "Creating ostree deployment: Injecting root authorized_keys: a path led outside of the filesystem" ;;
    esac
    mkdir -p "$MOUNT/etc/tmpfiles.d"
    printf 'f~ /root/.ssh/authorized_keys 600 root root - %s\n' "$KEYS" > "$MOUNT/etc/tmpfiles.d/bootc-root-ssh.conf"
    echo "Injected: etc/tmpfiles.d/bootc-root-ssh.conf"
  fi
}

# /sysroot/.bootc-aleph.json says what was installed, the deployment's origin where updates come from.
provenance() {
  local name=${GIVEN[target-imgref]-$IMAGE} transport=${GIVEN[target-transport]-registry} selinux=disabled labels=
  local deployments=$MOUNT/ostree/deploy/default/deploy
  if [ -n "${GIVEN[disable-selinux]-}" ]; then selinux=force-target-disabled; fi
  if [ "$LABELS" != null ] && [ "$LABELS" != '{}' ]; then labels="\"labels\":$LABELS,"; fi
  printf '{"digest":"%s","image":"%s","kernel":"%s",%s"selinux":"%s","target-image":"%s","timestamp":null,"version":null}' \
    "$DIGEST" "$IMAGE" "$(uname -r)" "$labels" "$selinux" "$name" > "$MOUNT/.bootc-aleph.json"
  ln -sfn . "$MOUNT/sysroot"
  mkdir -p "$deployments"
  case $transport in
    registry | docker) name=ostree-unverified-registry:$name ;;
    *) name=ostree-unverified-image:$transport:$name ;;
  esac
  printf '[origin]\ncontainer-image-reference=%s\n' "$name" > "$deployments/${DIGEST#sha256:}.0.origin"
}

# --- the boot loader: both kinds, as a generic image has them -----------------------------------------------------------
MODULES=(part_gpt ext2 xfs btrfs search search_fs_uuid normal configfile linux serial echo test gzio terminal)

kernel_arguments() {
  local word deleted configured
  mapfile -t configured < <(configured | sed -n 's/^kargs *= *\[\(.*\)\]/\1/p' | grep -o '"[^"]*"' | tr -d '"')
  for word in "root=UUID=$UUID" rw "${configured[@]}" "${KARGS[@]}"; do
    for deleted in "${KARGS_DELETED[@]}"; do
      if [ "$deleted" = "$word" ]; then continue 2; fi
    done
    printf ' %s' "$word"
  done
}

boot_entry() {
  local kernel title arguments
  # shellcheck source=/dev/null
  title=$(. /etc/os-release; echo "$PRETTY_NAME")
  for kernel in "$MOUNT"/usr/lib/modules/*; do :; done # the last one
  kernel=${kernel##*/}
  cp "$MOUNT/usr/lib/modules/$kernel/vmlinuz" "$MOUNT/boot/vmlinuz-$kernel"
  cp "$MOUNT/usr/lib/modules/$kernel/initramfs.img" "$MOUNT/boot/initramfs-$kernel.img"
  arguments=$(kernel_arguments)
  mkdir -p "$MOUNT/boot/grub" "$MOUNT/boot/loader/entries"
  printf 'title %s\nversion 1\nlinux /boot/vmlinuz-%s\ninitrd /boot/initramfs-%s.img\noptions%s\n' \
    "$title" "$kernel" "$kernel" "$arguments" > "$MOUNT/boot/loader/entries/ostree-1.conf"
  cat > "$MOUNT/boot/grub/grub.cfg" << END
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
menuentry "$title" {
  linux /boot/vmlinuz-$kernel$arguments
  initrd /boot/initramfs-$kernel.img
}
END
}

# 64-bit little-endian
le64() {
  local shift text=
  for shift in 0 8 16 24 32 40 48 56; do text=$text$(printf '\\x%02x' $(($1 >> shift & 255))); done
  printf %b "$text"
}

# What grub-bios-setup does, without asking which devices there are: boot.img in the first sector gets the place of
# core.img (kernel_sector, at 0x5c) and boots from any drive (two NOPs at 0x66); core.img gets its own second sector's.
bios_loader() {
  local work=$1 start
  grub-mkimage -O i386-pc -p /boot/grub -c "$work/early.cfg" -o "$work/core.img" biosdisk "${MODULES[@]}"
  start=$(< "/sys/class/block/${BIOS##*/}/start")
  cp /usr/lib/grub/i386-pc/boot.img "$work/boot.img"
  le64 "$start" | dd of="$work/boot.img" bs=1 seek=$((0x5c)) conv=notrunc status=none
  printf '\x90\x90' | dd of="$work/boot.img" bs=1 seek=$((0x66)) conv=notrunc status=none
  le64 $((start + 1)) | dd of="$work/core.img" bs=1 seek=$((0x1f4)) conv=notrunc status=none
  dd if="$work/core.img" of="$BIOS" bs=512 conv=fsync status=none
  dd if="$work/boot.img" of="$TARGET" bs=440 count=1 conv=notrunc,fsync status=none
}

uefi_loader() {
  local work=$1
  grub-mkimage -O x86_64-efi -p /EFI/debian -c "$work/early.cfg" -o "$work/BOOTX64.EFI" "${MODULES[@]}" all_video efi_gop
  export MTOOLS_SKIP_CHECK=1
  if ! { mmd -i "$ESP" ::/EFI ::/EFI/BOOT && mcopy -i "$ESP" "$work/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI; } 2> "$work/err"; then
    die "Installing bootloader: $(< "$work/err")"
  fi
  blockdev --flushbufs "$ESP"
}

# Which loader, as the real one chooses: what was asked for, else by whether the image has bootupd.
detect_loader() {
  LOADER=${GIVEN[bootloader]-}
  if [ -z "$LOADER" ]; then
    LOADER=systemd
    if command -v bootupctl > /dev/null && [ -d /usr/lib/bootupd/updates ]; then LOADER=grub; fi
  fi
  echo "Bootloader: $LOADER"
  if [ "$LOADER" = systemd ] && [ -z "$COMPOSEFS" ]; then die "bootupd is required for ostree-based installs"; fi
  if has_uki && [ ${#KARGS[@]} -gt 0 ]; then
    die "Setting up UKI boot: Cannot use externally specified kernel arguments with UKI"
  fi
}

install_loaders() {
  local work=/run/bootc/loader
  boot_entry
  if at_least 1.8.0; then detect_loader; else LOADER=grub; fi
  if [ "$LOADER" = none ]; then return; fi
  if [ "$LOADER" = systemd ]; then UNFILLED=bios; fi
  echo "Installing bootloader via $LOADER (test stand-in)"
  mkdir -p "$work"
  # shellcheck disable=SC2016 # $root is GRUB's
  printf 'search --no-floppy --fs-uuid --set=root %s\nset prefix=($root)/boot/grub\nconfigfile ($root)/boot/grub/grub.cfg\n' \
    "$UUID" > "$work/early.cfg"
  if [ "$UNFILLED" != bios ]; then bios_loader "$work"; fi
  if [ "$UNFILLED" != uefi ]; then uefi_loader "$work"; fi
}

finish() {
  echo "Trimming root"
  fstrim --quiet-unsupported "$MOUNT"
  echo "Finalizing filesystem root"
  sync --file-system "$MOUNT" || die "Finalizing filesystem: Input/output error (os error 5)"
  mount -o remount,ro "$MOUNT"
  echo "Unmounting filesystems"
  umount --recursive "$MOUNT"
  sync "$TARGET" "$DEVICE" || die "Flushing $DEVICE: Input/output error (os error 5)"
  if [ -n "$LOOP" ]; then losetup -d "$LOOP"; LOOP=; fi
}

