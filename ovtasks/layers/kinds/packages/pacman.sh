# shellcheck shell=sh
# pacman: see common.sh. A package is its name.

ov_pacman() { # WORDS...
    env LC_ALL=C.UTF-8 pacman --noconfirm "$@"
}

# pacman's lock is a file, which a killed one leaves. It is removed when nobody has it open.
pm_ready() {
    ov_lock=/var/lib/pacman/db.lck
    ov_until=$(($(date +%s) + ${OV_LOCK_SECONDS:-900}))
    ov_told=
    ov_stale=
    while [ -e "$ov_lock" ]; do
        ov_by=
        for ov_pid in /proc/[0-9]*; do
            if ov_pkg_has_open "${ov_pid#/proc/}" "$ov_lock"; then ov_by=${ov_pid#/proc/}; fi
        done
        if [ -z "$ov_by" ]; then
            ov_say "$ov_lock is a killed pacman's: removed"
            rm -f "$ov_lock"
            ov_stale=yes
            break
        fi
        if [ "$ov_by" != "$ov_told" ]; then
            ov_say "waiting for process $ov_by ($(tr '\0' ' ' <"/proc/$ov_by/cmdline")), which holds $ov_lock"
        fi
        ov_told=$ov_by
        [ "$(date +%s)" -lt "$ov_until" ] || ov_fail "gave up: process $ov_by still holds $ov_lock"
        sleep 1
    done
}

pm_list() {
    pacman -Q | awk -v OFS='\t' '{ print $1, $2, "installed" }'
}

pm_autos() {
    pacman -Qdq || :
}

# A name that no package has or provides may be a group's: all its members, then.
pm_find() { # NAME...
    pacman -Qq >"${ov_all:=$(mktemp)}"
    for ov_name; do
        if ov_package=$(pacman -Qq -- "$ov_name" 2>/dev/null); then
            printf '%s\t%s\n' "$ov_name" "$ov_package"
        elif ov_members=$(pacman -Sgq -- "$ov_name" 2>/dev/null) &&
            ! printf '%s\n' "$ov_members" | grep -Fqvx -f "$ov_all"; then
            printf '%s\n' "$ov_members" | sed "s/^/$ov_name	/"
        fi
    done
    rm -f "$ov_all"
    ov_all=
}

# Arch supports no system of which a part is newer than the rest. So new lists mean a new system: first the keys of the
# packagers, then all. As long as the lists that are there will do, nothing else is touched.
pm_install() { # NAME...
    # A killed pacman leaves files that it has not yet noted as a package's.
    ov_over=${ov_stale:+--overwrite=*}
    set -f
    # shellcheck disable=SC2086 # options are words
    if pacman -Sp --print-format %n -- "$@" >/dev/null 2>&1 &&
        ov_pacman -S --needed $ov_over ${ov_options-} -- "$@"; then
        return 0
    fi
    ov_say "new lists of packages are needed, and with them the whole system is upgraded"
    if pacman -Qq archlinux-keyring >/dev/null 2>&1; then
        ov_pacman -Sy --needed archlinux-keyring || return 1
    fi
    # shellcheck disable=SC2086
    ov_pacman -Syu --needed $ov_over ${ov_options-} -- "$@"
}

pm_mark() { # manual|auto PACKAGE...
    if [ "$1" = auto ]; then set -- --asdeps "$@"; else set -- --asexplicit "$@"; fi
    ov_mark=$1
    shift 2
    ov_pacman -D "$ov_mark" -- "$@" >/dev/null
}

pm_removable() ( # PACKAGE...
    while [ $# -gt 0 ]; do
        said=$(LC_ALL=C pacman -R --print -- "$@" 2>&1) && break
        needed=$(printf '%s\n' "$said" | sed -n 's/^:: removing \([^ ]*\) breaks dependency .*/\1/p' | sort -u)
        if [ -z "$needed" ]; then
            printf '%s\n' "$said" >&2
            exit 1
        fi
        # shellcheck disable=SC2046 # names have no blanks
        set -- $(printf '%s\n' "$@" | grep -Fvx -e "$needed")
    done
    [ $# -eq 0 ] || printf '%s\n' "$@"
)

pm_remove() { # PACKAGE...
    ov_pacman -Rn -- "$@"
}

pm_settings() { # PACKAGE...
    pm_remove "$@"
}

# What a full upgrade brought stays: older versions would not fit the rest.
pm_restore() { # PACKAGE VERSION...
    while [ $# -gt 0 ]; do
        if ! pacman -Qq -- "$1" >/dev/null 2>&1 && ! ov_pacman -S --needed -- "$1"; then
            ov_say "$1 is no longer to be had"
        fi
        shift 2
    done
}

pm_clean() {
    rm -rf /var/cache/pacman/pkg/* /var/lib/pacman/sync/*
}
