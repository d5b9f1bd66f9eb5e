# shellcheck shell=sh
# apk: see common.sh. What was asked for stands in /etc/apk/world; all else is there for its sake, and goes with it.

ov_apk() { # WORDS...
    apk --no-progress --wait 300 "$@"
}

pm_ready() {
    ov_pkg_wait /lib/apk/db/lock /usr/lib/apk/db/lock
}

# "name-1.2-r3"
pm_list() {
    apk info -v 2>/dev/null | sed -n 's/^\(.*\)-\([^-]*-r[0-9]*\)$/\1\t\2\tinstalled/p'
}

ov_apk_world() {
    sed 's/[@=<>~].*//; /^!/d; /^$/d' /etc/apk/world | tr ' ' '\n'
}

pm_autos() {
    {
        ov_apk_world
        echo
        pm_list | cut -f 1
    } | awk '/^$/ { listed = 1; next } !listed { asked[$0]; next } !($0 in asked)'
}

# By name; else by what apk's database says that packages provide.
pm_find() { # NAME...
    for ov_name; do
        ov_plain=${ov_name%%[@=<>~]*}
        if ov_package=$(apk info -e "$ov_plain" 2>/dev/null) && [ -n "$ov_package" ]; then
            printf '%s\t%s\n' "$ov_name" "$ov_plain"
            continue
        fi
        cat /usr/lib/apk/db/installed /lib/apk/db/installed 2>/dev/null | awk -v OFS='\t' -v name="$ov_name" -v want="$ov_plain" '
            /^P:/ { package = substr($0, 3) }
            /^p:/ {
                count = split(substr($0, 3), provided, " ")
                for (i = 1; i <= count; i++) { sub(/[=<>~].*/, "", provided[i]); if (provided[i] == want) print name, package }
            }' | sort -u
    done
}

pm_install() { # NAME...
    ov_fresh=
    # shellcheck disable=SC2086 # options are words
    if ! apk --quiet add --simulate ${ov_options-} "$@" >/dev/null 2>&1; then
        ov_fresh=yes
        ov_apk update || ov_say "some lists of packages could not be downloaded"
    fi
    # shellcheck disable=SC2086
    ov_apk add ${ov_options-} "$@" && return
    [ -z "$ov_fresh" ] || return 1
    ov_apk update || :
    # shellcheck disable=SC2086
    ov_apk add ${ov_options-} "$@"
}

pm_mark() { # manual|auto PACKAGE...
    if [ "$1" = auto ]; then set -- del "$@"; else set -- add "$@"; fi
    ov_mark=$1
    shift 2
    ov_apk "$ov_mark" "$@"
}

# apk keeps by itself what others need.
pm_removable() { # PACKAGE...
    printf '%s\n' "$@"
}

pm_remove() { # PACKAGE...
    # shellcheck disable=SC2046 # names have no blanks
    set -- $(printf '%s\n' "$@" | grep -Fx -e "$(ov_apk_world)")
    [ $# -eq 0 ] || ov_apk del "$@"
}

pm_settings() { # PACKAGE...
    pm_remove "$@"
}

pm_restore() { # PACKAGE VERSION...
    while [ $# -gt 0 ]; do
        [ -n "$(apk info -e "$1" 2>/dev/null)" ] || ov_apk add "$1" || ov_say "$1 is no longer to be had"
        shift 2
    done
}

pm_clean() {
    rm -rf /var/cache/apk/*
}
