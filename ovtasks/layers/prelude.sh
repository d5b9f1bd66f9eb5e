# shellcheck shell=sh
# What the fragments of operations may call. Works with dash, bash and busybox; no function changes the working folder.
#
# A fragment finds STATE, FILES, OV_SUMS (a line "<sha256> <name>" for each of its uploads), HOME, USER, OV_UID and
# OV_GID (of the account that runs it). Paths are absolute, and have no line break and no slash at their end.
# A function that cannot do its work says why, and ends the fragment.

# Prior state, as ov_keep writes it, and every later version of this file reads it. N counts from 1:
#   N.path      the path; written last, so an N without it does not count
#   N.copy      a file or a link as it was (cp -a)           N.caps    the file's capabilities
#   N.folder    mode and owner of a folder                   N.time    an empty file with the folder's time
#   N.parents   of what was absent: the folders above it that were absent too, the nearest first

ov_fail() { # WORDS...
    printf '%s\n' "$*" >&2
    exit 1
}

# A path below another user's link leads where that user wants. It is refused.
ov_safe() { # PATH
    case $1 in
    /*[!/]) ;;
    *) ov_fail "$1 is not the absolute path of a file" ;;
    esac
    ov_above=${1%/*}
    while [ -n "$ov_above" ]; do
        if [ -h "$ov_above" ]; then
            ov_owner=$(stat -c %u -- "$ov_above")
            if [ "$ov_owner" != 0 ] && [ "$ov_owner" != "$OV_UID" ]; then
                ov_fail "$1: $ov_above is a link of another user, who could lead us anywhere"
            fi
        fi
        ov_above=${ov_above%/*}
    done
}

# Where a new version of a file lies until it is whole. A killed run's is found and replaced by the next one.
ov_temp() { # PATH -> ov_new
    ov_new=${1%/*}/.${1##*/}.ovtasks
    if [ -e "$ov_new" ] || [ -h "$ov_new" ]; then rm -rf -- "$ov_new"; fi
}

# Give a new file its final name. What it replaces is never lost halfway, also if the power fails.
ov_put() { # NEW PATH [sync]
    if [ -d "$2" ] && [ ! -h "$2" ]; then
        rm -f -- "$1"
        ov_fail "$2 is a folder"
    fi
    if [ ! -h "$1" ] && { [ -f "$2" ] || [ -n "${3-}" ]; }; then sync -- "$1" 2>/dev/null || sync; fi
    mv -fT -- "$1" "$2"
    ov_labelled "$2"
}

# What SELinux calls a file at this place.
ov_labelled() { # PATH
    if [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon -- "$1" || :; fi
}

# A copy with owner, mode, time and attributes. busybox forgets the time of a link.
ov_copy() { # PATH TO
    cp -a -- "$1" "$2"
    if [ -h "$1" ]; then
        ov_time=$(stat -c %Y -- "$1")
        if [ "$(stat -c %Y -- "$2")" != "$ov_time" ]; then touch -h -d "@$ov_time" -- "$2"; fi
    fi
}

# In save: keep what is at each path, so that ov_restore can put it back. Of a folder: that it is there, its owner, mode
# and time, and not what it holds.
ov_keep() { # PATH...
    ov_count=1
    while [ -e "$STATE/$ov_count.path" ]; do ov_count=$((ov_count + 1)); done
    for ov_path; do
        ov_safe "$ov_path"
        ov_entry=$STATE/$ov_count
        if [ -h "$ov_path" ] || [ -f "$ov_path" ]; then
            ov_copy "$ov_path" "$ov_entry.copy"
            if [ -x "$ov_path" ] && [ ! -h "$ov_path" ] && command -v getcap >/dev/null; then
                ov_caps "$ov_path" >"$ov_entry.caps"
            fi
        elif [ -d "$ov_path" ]; then
            stat -c '%a %u:%g' -- "$ov_path" >"$ov_entry.folder"
            touch -r "$ov_path" -- "$ov_entry.time"
        elif [ -e "$ov_path" ]; then
            ov_fail "$ov_path is neither a file nor a folder nor a link: it is left alone"
        else
            ov_above=${ov_path%/*}
            while [ -n "$ov_above" ] && [ ! -e "$ov_above" ]; do
                [ ! -h "$ov_above" ] || ov_fail "$ov_path: $ov_above is a link that leads nowhere"
                printf '%s\n' "$ov_above"
                ov_above=${ov_above%/*}
            done >"$ov_entry.parents"
        fi
        printf '%s\n' "$ov_path" >"$ov_entry.path"
        ov_count=$((ov_count + 1))
    done
}

# In save: ov_keep for each line of a file.
ov_keep_lines() { # FILE
    ov_ifs=$IFS
    IFS='
'
    set -f
    # shellcheck disable=SC2046 # lines are split, nothing else
    ov_keep $(cat -- "$1")
    set +f
    IFS=$ov_ifs
}

# In undo: put back all that ov_keep kept, the last first.
ov_restore() {
    ov_count=1
    while [ -e "$STATE/$ov_count.path" ]; do ov_count=$((ov_count + 1)); done
    while [ "$ov_count" -gt 1 ]; do
        ov_count=$((ov_count - 1))
        ov_entry=$STATE/$ov_count
        IFS= read -r ov_path <"$ov_entry.path" || continue # cut off by a power cut, before anything was replaced
        ov_safe "$ov_path"
        ov_temp "$ov_path"
        if [ -e "$ov_entry.parents" ]; then
            ov_remove "$ov_path" "$ov_entry.parents"
        elif [ -e "$ov_entry.folder" ]; then
            read -r ov_mode ov_owner <"$ov_entry.folder"
            if [ ! -d "$ov_path" ]; then mkdir -p -- "$ov_path"; fi
            if [ "$(stat -c '%u:%g' -- "$ov_path")" != "$ov_owner" ]; then chown "$ov_owner" -- "$ov_path"; fi
            chmod "$ov_mode" -- "$ov_path"
            touch -r "$ov_entry.time" -- "$ov_path"
        else
            ov_parents "$ov_path"
            ov_copy "$ov_entry.copy" "$ov_new"
            ov_put "$ov_new" "$ov_path" sync # before the kept one goes
            if [ -e "$ov_entry.caps" ]; then
                IFS= read -r ov_want <"$ov_entry.caps" || ov_want=
                if [ "$(ov_caps "$ov_path")" != "$ov_want" ]; then setcap "${ov_want:-=}" "$ov_path"; fi
            fi
        fi
    done
}

# Remove what was absent, then the folders in the file PARENTS as far as they are empty.
ov_remove() { # PATH PARENTS
    if [ -d "$1" ] && [ ! -h "$1" ]; then
        if ! rmdir -- "$1" 2>/dev/null; then
            printf '%s\n' "$1 is not empty: it stays"
            return 0
        fi
    else
        rm -f -- "$1"
    fi
    while IFS= read -r ov_above; do
        rmdir -- "$ov_above" 2>/dev/null || [ ! -d "$ov_above" ] || break
    done <"$2"
}

# The capabilities of a file in setcap's words; nothing if it has none.
ov_caps() { # FILE
    ov_said=$(getcap -- "$1" 2>/dev/null || :)
    ov_said=${ov_said#"$1"}
    ov_said=${ov_said# = } # before libcap 2.41
    printf '%s\n' "${ov_said# }"
}

# Make the folders above a path: mode 0755, of the account that runs this.
ov_parents() { # PATH
    ov_safe "$1"
    if [ ! -d "${1%/*}/" ]; then mkdir -p -- "${1%/*}"; fi # umask is 022
}

# Numeric owner: of the account that runs this unless one is named.
ov_ids() { # [USER[:GROUP]]
    case ${1-} in
    '') printf '%s\n' "$OV_UID:$OV_GID" ;;
    *[!0-9:]*)
        ov_owner=$(id -u -- "${1%%:*}"):
        case $1 in
        *:*[!0-9]*) ov_owner=$ov_owner$(getent group "${1#*:}" 2>/dev/null | cut -d: -f3) ;;
        *:*) ov_owner=$ov_owner${1#*:} ;;
        *) ov_owner=$ov_owner$(id -g -- "$1") ;;
        esac
        printf '%s\n' "$ov_owner"
        ;;
    *:*) printf '%s\n' "$1" ;;
    *) printf '%s\n' "$1:$1" ;;
    esac
}

# In look: whether PATH is a file with the content of an upload, this mode (0644) and owner. Works without the upload.
ov_same() { # FILE PATH MODE [OWNER]
    [ -f "$2" ] && [ ! -h "$2" ] || return 1
    ov_mode=${3#0}
    ov_owner=$OV_UID:$OV_GID
    if [ -n "${4-}" ]; then ov_owner=$(ov_ids "$4"); fi
    [ "$(stat -c '%a %u:%g' -- "$2")" = "${ov_mode#0} $ov_owner" ] || return 1
    ov_sum=$(sha256sum <"$2") || return 1
    case "
$OV_SUMS
" in
    *"
${ov_sum%% *} ${1##*/}
"*) return 0 ;;
    esac
    return 1
}

# Print an upload. The script has a small text at hand, which needs no process.
ov_pour() { # FILE
    # shellcheck disable=SC2154 # the script sets it
    if [ "$1" = "${ov_content_at:-/}" ]; then printf %s "$ov_content"; else cat -- "$1"; fi
}

# Put an upload at PATH: whole or not at all, with parents.
ov_install() { # FILE PATH MODE [OWNER]
    ov_parents "$2"
    ov_temp "$2"
    case ${4-}$3 in
    0644 | 644)
        set -C
        ov_pour "$1" >"$ov_new"
        set +C
        ;;
    *)
        (umask 077 && set -C && ov_pour "$1" >"$ov_new")
        if [ -n "${4-}" ]; then chown "$(ov_ids "$4")" -- "$ov_new"; fi
        chmod "$3" -- "$ov_new"
        ;;
    esac
    if [ -g "${2%/*}" ] && [ -z "${4-}" ]; then # the folder gave its group
        chown "$OV_UID:$OV_GID" -- "$ov_new"
        chmod "$3" -- "$ov_new"
    fi
    ov_put "$ov_new" "$2"
}

# Make PATH a symbolic link; what is there, unless it is a folder, is replaced.
ov_link() { # TARGET PATH
    ov_parents "$2"
    ov_temp "$2"
    if [ -e "$2" ] || [ -h "$2" ]; then
        ln -s -- "$1" "$ov_new"
        ov_put "$ov_new" "$2"
    else
        ln -sT -- "$1" "$2" # it is there at once or not at all
        ov_labelled "$2"
    fi
}

# In look: whether PATH is a folder with this mode and owner.
ov_same_folder() { # PATH MODE [OWNER]
    [ -d "$1" ] && [ ! -h "$1" ] || return 1
    ov_mode=${2#0}
    [ "$(stat -c '%a %u:%g' -- "$1")" = "${ov_mode#0} $(ov_ids "${3-}")" ]
}

# Make a folder, or give one that is there mode and owner.
ov_folder() { # PATH MODE [OWNER]
    ov_parents "$1"
    if [ ! -d "$1" ]; then
        mkdir -m "$2" -- "$1"
        if [ -z "${3-}" ] && [ ! -g "${1%/*}" ]; then return 0; fi
    fi
    ov_owner=$(ov_ids "${3-}")
    if [ "$(stat -c '%u:%g' -- "$1")" != "$ov_owner" ]; then chown "$ov_owner" -- "$1"; fi
    chmod "00$2" -- "$1" # fewer digits leave setgid as it is
}

# The best shell for a script that people wrote: bash if it is there.
ov_shell() { # FILE
    if command -v bash >/dev/null; then ${ov_last-} bash -- "$1"; else ${ov_last-} sh -- "$1"; fi
}

# Who an account is -> ov_to_uid, ov_to_gid, ov_to_name (empty: a number without an account), ov_to_home. A process asks
# once; the next fragment is another process, so that it sees what became of the account.
ov_account() { # NAME or UID:GID
    if [ "$1" = "${ov_to_whom-}" ]; then return 0; fi
    ov_to_whom=
    case $1 in
    '' | *[!0-9:]* | :* | *:) ov_line=$(getent passwd "$1" 2>/dev/null || grep "^$1:" /etc/passwd || :) ;;
    *) ov_line=$(getent passwd "${1%%:*}" 2>/dev/null || awk -F: -v u="${1%%:*}" '$3 == u' /etc/passwd) ;;
    esac
    IFS=: read -r ov_to_name _ ov_to_uid ov_to_gid _ ov_to_home _ <<EOF2
$ov_line
EOF2
    case $1 in
    '' | *[!0-9:]* | :* | *:) [ -n "$ov_to_uid" ] || ov_fail "there is no account $1" ;;
    *)
        if [ "${ov_to_gid:-}" != "${1#*:}" ]; then ov_to_name=; fi
        ov_to_uid=${1%%:*} ov_to_gid=${1#*:} ov_to_home=${ov_to_home:-/}
        ;;
    esac
    ov_to_whom=$1
}

# util-linux has a setpriv that changes accounts; that of busybox, which its shell may prefer, does not. -> ov_setpriv
ov_setpriv() {
    for ov_setpriv in setpriv /usr/bin/setpriv /bin/setpriv; do
        if "$ov_setpriv" --help 2>&1 | grep -q reuid; then return 0; fi
    done
    return 1
}

# Run a command as another account, with its HOME and USER.
ov_as() { # ACCOUNT COMMAND...
    ov_account "$1"
    shift
    if [ "$ov_to_uid:$ov_to_gid" = "$OV_UID:$OV_GID" ]; then
        "$@"
        return
    fi
    [ "$OV_UID" = 0 ] || ov_fail "only root can become ${ov_to_name:-$ov_to_uid:$ov_to_gid}"
    set -- env HOME="$ov_to_home" USER="${ov_to_name:-$ov_to_uid}" LOGNAME="${ov_to_name:-$ov_to_uid}" \
        OV_UID="$ov_to_uid" OV_GID="$ov_to_gid" XDG_RUNTIME_DIR="/run/user/$ov_to_uid" "$@"
    if [ -n "$ov_to_name" ] && command -v runuser >/dev/null; then
        runuser -u "$ov_to_name" -- "$@"
    elif ov_setpriv; then
        ov_groups=--clear-groups
        if [ -n "$ov_to_name" ]; then ov_groups=--init-groups; fi
        "$ov_setpriv" --reuid="$ov_to_uid" --regid="$ov_to_gid" "$ov_groups" -- "$@"
    elif command -v setuidgid >/dev/null && [ -z "$ov_to_name" ]; then
        setuidgid "$ov_to_uid:$ov_to_gid" "$@"
    elif [ -n "$ov_to_name" ] && command -v su >/dev/null; then
        # shellcheck disable=SC2016 # the other shell expands it
        su -s /bin/sh "$ov_to_name" -c 'exec "$0" "$@"' "$@"
    elif command -v sudo >/dev/null; then
        sudo -n -u "#$ov_to_uid" -g "#$ov_to_gid" -- "$@"
    else
        ov_fail "there is no way to become ${ov_to_name:-$ov_to_uid:$ov_to_gid}: no runuser, setpriv, su or sudo"
    fi
}
