# shellcheck shell=sh
# zypper: see common.sh and rpm.sh. It refreshes lists by itself.

# Keys are only trusted if they were there before, or came with a repository of the layer.
ov_zypper() { # WORDS...
    ov_code=0
    ZYPP_LOCK_TIMEOUT=300 LC_ALL=C.UTF-8 zypper --non-interactive "$@" || ov_code=$?
    # 102 and 103: done, and a reboot or a restart of zypper is recommended.
    case $ov_code in 0 | 102 | 103) return 0 ;; esac
    return "$ov_code"
}

pm_ready() {
    ov_pkg_wait /run/zypp.pid /var/run/zypp.pid /var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock
}

ov_zypp_marks=/var/lib/zypp/AutoInstalled

pm_autos() {
    {
        sed '/^#/d; /^$/d' "$ov_zypp_marks" 2>/dev/null || :
        echo
        pm_list | cut -f 1
    } | awk '/^$/ { listed = 1; next } !listed { auto[$0]; next } { name = $0; sub(/\.[^.]*$/, "", name) }
        name in auto || /^gpg-pubkey-/'
}

pm_install() { # NAME...
    # shellcheck disable=SC2086 # options are words
    ov_zypper install --auto-agree-with-licenses --no-confirm ${ov_options-} -- "$@" && return
    ov_say "once more, with new lists of packages"
    ov_zypper refresh --force || return 1
    # shellcheck disable=SC2086
    ov_zypper install --auto-agree-with-licenses --no-confirm ${ov_options-} -- "$@"
}

# zypper has no command for it; the file holds names, a line each.
pm_mark() { # manual|auto PACKAGE...
    ov_mark=$1
    shift
    printf '%s\n' "$@" | sed 's/\.[^.]*$//' | sort -u >"$ov_zypp_marks.names"
    touch "$ov_zypp_marks"
    {
        grep -Fvx -f "$ov_zypp_marks.names" "$ov_zypp_marks" || :
        if [ "$ov_mark" = auto ]; then cat "$ov_zypp_marks.names"; fi
    } >"$ov_zypp_marks.new"
    rm -f "$ov_zypp_marks.names"
    mv "$ov_zypp_marks.new" "$ov_zypp_marks"
}

pm_remove() { # PACKAGE...
    ov_rpm_keys "$@"
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_rest" ] || ov_zypper remove --no-clean-deps $ov_rest
}

pm_restore() { # PACKAGE VERSION...
    while [ $# -gt 0 ]; do
        ov_zypper install --oldpackage --no-confirm -- "$1=$2" ||
            ov_say "$1 $2 is no longer to be had: it stays as it is"
        shift 2
    done
}

pm_clean() {
    zypper --quiet clean --all
}

# Whether a repository answers, with the right signature.
ov_ini_try() { # ID
    ov_zypper refresh "$1"
}

# Nobody could sign the package for this system: its repository is new to it. The download was checked, if it was pinned.
ov_release_install() { # FILE
    ov_zypper install --no-confirm --allow-unsigned-rpm "$1"
}
