# shellcheck shell=sh
# dnf, version 4 and 5: see common.sh and rpm.sh. Version 5 wants the options of a command behind it.

ov_dnf() { # WORDS...
    env LC_ALL=C.UTF-8 dnf -y "$@"
}

pm_ready() {
    ov_pkg_wait /var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock /var/lib/dnf/rpmdb_lock.pid \
        /var/cache/dnf/metadata_lock.pid /var/cache/dnf/download_lock.pid
}

# Of rpm's packages those that dnf does not call installed by the user. Repositories do not matter for that.
pm_autos() {
    {
        pm_list | cut -f 1
        echo
        dnf -q --disablerepo='*' repoquery --userinstalled --qf '| %{name} %{arch} %{version}-%{release}\n' 2>/dev/null |
            ov_rpm_id | cut -f 1
    } | awk '/^$/ { listed = 1; next } !listed { all[$0]; next } { delete all[$0] } END { for (one in all) print one }'
}

pm_install() { # NAME...
    ov_words=
    for ov_name in ${ov_exclude-}; do ov_words="$ov_words --exclude=$ov_name"; done
    # shellcheck disable=SC2086 # options are words
    if ! ov_dnf install $ov_words ${ov_options-} "$@"; then
        # Old lists name files that the mirror no longer has, and miss new packages.
        ov_say "once more, with new lists of packages"
        # shellcheck disable=SC2086
        ov_dnf install --refresh $ov_words ${ov_options-} "$@" || return 1
    fi
    for ov_name; do
        case $ov_name in @*) [ -z "${STATE-}" ] || printf '%s\n' "$ov_name" >>"$STATE/groups" ;; esac
    done
}

# Version 5 has other words for the marks.
pm_mark() { # manual|auto PACKAGE...
    case $1$(dnf --version 2>/dev/null) in
    manual*dnf5*) ov_mark=user ;;
    auto*dnf5*) ov_mark=dependency ;;
    manual*) ov_mark=install ;;
    *) ov_mark=remove ;;
    esac
    shift
    # shellcheck disable=SC2046 # names have no blanks
    set -- $(printf '%s\n' "$@" | grep -v '^@')
    [ $# -eq 0 ] || ov_dnf -q --disablerepo='*' mark "$ov_mark" "$@" >/dev/null
}

pm_remove() { # PACKAGE...
    ov_rpm_keys "$@"
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_rest" ] || ov_dnf --disablerepo='*' --setopt=clean_requirements_on_remove=False remove $ov_rest
}

pm_ungroup() {
    # shellcheck disable=SC2013 # names have no blanks
    for ov_name in $(sort -u "$STATE/groups"); do
        case $(dnf --version 2>/dev/null) in
        *dnf5*) ov_dnf -q group remove --no-packages "${ov_name#@}" || : ;;
        *) ov_dnf -q group mark remove "${ov_name#@}" || : ;;
        esac
    done
}

pm_restore() { # PACKAGE VERSION...
    while [ $# -gt 0 ]; do
        ov_name=${1%.*}-$2.${1##*.}
        if rpm -q -- "${1%.*}" >/dev/null 2>&1; then ov_verb=downgrade; else ov_verb=install; fi
        ov_dnf -q "$ov_verb" "$ov_name" || ov_say "$1 $2 is no longer to be had: it stays as it is"
        shift 2
    done
}

pm_clean() {
    dnf -q clean all
}

# Whether a repository answers, with the right signature.
ov_ini_try() { # ID
    ov_dnf --disablerepo='*' --enablerepo="$1" makecache
}

ov_release_install() { # FILE
    ov_dnf install "$1"
}
