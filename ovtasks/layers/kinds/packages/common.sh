# shellcheck shell=sh
# Operations of packages, whatever the package manager. The file of a manager beside this one defines:
#
#   pm_ready                   wait until nobody else changes packages, then finish what a killed run left half done
#   pm_list                    print each package that is there: package, version, "installed", "broken" or "config"
#   pm_autos                   print the packages that are only there because others need them
#   pm_find NAME...            print for each installed package that has or provides a name: name, package
#   pm_install NAME...         install; may use $ov_options (words) and $ov_exclude (words)
#   pm_mark manual|auto PKG... say whether a package was asked for, or is only there because others need it
#   pm_removable PKG...        print those of them that nothing but they themselves need
#   pm_remove PKG...           remove these and nothing else, settings included
#   pm_settings PKG...         as pm_remove, but leave the settings
#   pm_restore PKG VERSION...  install these versions again, as far as they are still to be had
#   pm_clean                   empty the caches, in an image
#   pm_ungroup                 forget the groups in $STATE/groups, whose packages are gone; only where pm_install notes them
#
# Fields are parted by a tab. A package is what the manager tells apart: with its architecture where there are several.
# What an operation keeps in $STATE:
#
#   before, autos   pm_list and pm_autos before the first change
#   brought         packages that this operation brought: package, "auto" or "asked", "config" if its settings were there
#   start           pm_list when the change that is not yet noted began
#   changed         packages that got another version: package, old, new
#   removed         packages that had to go: package, version, "auto" or "asked"
#   marks           packages that were "auto" before somebody asked for them
#   inherited       as brought: what other layers brought and had to leave when they were undone
#   claims          packages that this layer wants; written last, so it says that all the others are true

ov_say() {
    printf '%s\n' "$*"
}

# The names that no installed package has or provides.
ov_pkg_missing() { # NAME...
    {
        pm_find "$@"
        echo
        printf '%s\n' "$@"
    } | awk -F '\t' '/^$/ { asked = 1; next } !asked { found[$1]; next } !($1 in found)'
}

ov_pkg_look() { # NAME...
    [ -e "$STATE/claims" ] && [ -z "$(ov_pkg_missing "$@")" ]
}

ov_pkg_save() {
    pm_ready
    pm_list >"$STATE/before"
    [ -s "$STATE/before" ] || ov_fail "the list of installed packages cannot be read"
    pm_autos >"$STATE/autos"
}

ov_pkg_do() { # NAME...
    pm_ready
    ov_missing=$(ov_pkg_missing "$@")
    if [ -n "$ov_missing" ]; then
        # A killed run has left this file, and what it changed is still to be noted.
        if [ ! -e "$STATE/start" ]; then
            pm_list >"$STATE/start.new"
            mv "$STATE/start.new" "$STATE/start"
        fi
        # shellcheck disable=SC2086 # names have no blanks
        pm_install $ov_missing || ov_fail "${ov_hint:-the packages are not installed}"
        ov_missing=$(ov_pkg_missing "$@")
        if [ -n "$ov_missing" ]; then
            # shellcheck disable=SC2086
            ov_fail "the package manager reports no error, but these are not installed:" $ov_missing
        fi
    fi
    ov_pkg_record "$@"
}

# Note what changed since $STATE/start, and what the layer wants.
ov_pkg_record() { # NAME...
    pm_find "$@" >"$STATE/found"
    cut -f 2 "$STATE/found" | sort -u >"$STATE/claims.new"
    pm_autos >"$STATE/autos.now"
    if [ -e "$STATE/start" ]; then
        pm_list >"$STATE/now"
        [ -s "$STATE/now" ] || ov_fail "the list of installed packages cannot be read"
        ov_pkg_compare
    fi
    # Of what was there for the sake of others, all that the layer names is asked for from now on.
    grep -Fx -f "$STATE/claims.new" "$STATE/autos" >>"$STATE/marks" || :
    ov_asked=$(awk -F '\t' '
        { file = FILENAME; sub(/.*\//, "", file) }
        file == "autos.now" { auto[$1]; next }
        { name = $1; sub(/[=\/].*/, "", name) }
        ($2 in auto) && ($2 == name || index($2, name ":") == 1 || index($2, name ".") == 1) { print $2 }' \
        "$STATE/autos.now" "$STATE/found" | sort -u)
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_asked" ] || pm_mark manual $ov_asked
    mv "$STATE/claims.new" "$STATE/claims"
    rm -f "$STATE/start" "$STATE/now" "$STATE/autos.now" "$STATE/found"
}

# What somebody else installed meanwhile is neither claimed nor automatic nor half done: it is not ours.
ov_pkg_compare() {
    awk -F '\t' -v OFS='\t' -v to="$STATE" '
        { file = FILENAME; sub(/.*\//, "", file) }
        file == "claims.new" { claimed[$1]; next }
        file == "autos" { was_auto[$1]; next }
        file == "autos.now" { auto[$1]; next }
        file == "before" { if ($3 == "config") config[$1]; else before[$1]; next }
        $3 == "config" { next }
        file == "start" { start[$1] = $2; next }
        { now[$1] }
        !($1 in start) && !($1 in before) && ($1 in auto || $1 in claimed || $3 == "broken") {
            print $1, ($1 in claimed) ? "asked" : "auto", ($1 in config) ? "config" : "-" >>(to "/brought")
        }
        $1 in start && start[$1] != $2 { print $1, start[$1], $2 >>(to "/changed") }
        END {
            for (one in start) if (!(one in now) && one in before)
                print one, start[one], (one in was_auto) ? "auto" : "asked" >>(to "/removed")
        }' "$STATE/claims.new" "$STATE/autos" "$STATE/autos.now" "$STATE/before" "$STATE/start" "$STATE/now"
}

# Other operations of applied layers that want packages, a state folder a line.
ov_pkg_others() {
    for ov_other in "${STATE%/*/*/*/*}"/*/operations/*/state; do
        if [ "$ov_other" != "$STATE" ] && [ -e "$ov_other/claims" ]; then printf '%s\n' "$ov_other"; fi
    done
}

ov_pkg_undo() { # NAME...
    [ -s "$STATE/before" ] || return 0
    pm_ready
    if [ ! -e "$STATE/claims" ] || [ -e "$STATE/start" ]; then ov_pkg_record "$@"; fi
    touch "$STATE/brought" "$STATE/inherited" "$STATE/changed" "$STATE/removed" "$STATE/marks"
    ov_pkg_others >"$STATE/others"
    while IFS= read -r ov_other; do cat "$ov_other/claims"; done <"$STATE/others" >"$STATE/wanted"

    ov_pkg_ours >"$STATE/ours"
    ov_go=$(awk -F '\t' '$4 == "-" { print $1 }' "$STATE/ours")
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_go" ] || ov_go=$(pm_removable $ov_go)
    ov_had=$(awk -F '\t' '$3 == "config" { print $1 }' "$STATE/ours")
    ov_settings=$(ov_pkg_both "$ov_go" "$ov_had")
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_settings" ] || pm_settings $ov_settings
    ov_go=$(ov_pkg_first "$ov_go" "$ov_had")
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_go" ] || pm_remove $ov_go

    ov_pkg_hand_over
    ov_pkg_put_back
    if [ -s "$STATE/groups" ]; then pm_ungroup; fi
    rm -f "$STATE/ours" "$STATE/others" "$STATE/wanted" "$STATE/stays" "$STATE/now"
}

# The lines of the first text that are in the second, too; those that are not.
ov_pkg_both() { # TEXT TEXT
    [ -z "$1" ] || [ -z "$2" ] || printf '%s\n' "$1" | grep -Fx -e "$2" || :
}

ov_pkg_first() { # TEXT TEXT
    if [ -z "$2" ]; then printf '%s\n' "$1"; else printf '%s\n' "$1" | grep -Fvx -e "$2" || :; fi
}

# What we brought and is still there: package, mark, "config" or "-", and why it must stay: "wanted" by another layer,
# "used" as somebody has asked for it since, or "-".
ov_pkg_ours() {
    pm_list >"$STATE/now"
    pm_autos >"$STATE/autos.now"
    awk -F '\t' -v OFS='\t' '
        { file = FILENAME; sub(/.*\//, "", file) }
        file == "now" { state[$1] = $3; next }
        file == "autos.now" { auto[$1]; next }
        file == "wanted" { wanted[$1]; next }
        file == "claims" { claimed[$1]; next }
        ($1 in seen) || !($1 in state) || ($3 == "config" && state[$1] == "config") { next }
        { seen[$1] }
        $1 in wanted { print $1, $2, $3, "wanted"; next }
        $2 == "auto" && state[$1] == "installed" && !($1 in auto) && !($1 in claimed) { print $1, $2, $3, "used"; next }
        { print $1, $2, $3, "-" }' \
        "$STATE/now" "$STATE/autos.now" "$STATE/wanted" "$STATE/claims" "$STATE/brought" "$STATE/inherited"
    rm -f "$STATE/now" "$STATE/autos.now"
}

# What stays becomes the other layers': the last one that is undone removes it.
ov_pkg_hand_over() {
    pm_list >"$STATE/now"
    awk -F '\t' -v OFS='\t' '
        { file = FILENAME; sub(/.*\//, "", file) }
        file == "now" { if ($3 != "config") there[$1]; next }
        $1 in there && $4 != "used" { print $1, $2, $3 }' "$STATE/now" "$STATE/ours" >"$STATE/stays"
    while IFS= read -r ov_other; do
        cat "$STATE/stays" >>"$ov_other/inherited"
        # Who asked for it first knows that it was there for the sake of something older.
        grep -Fx -f "$ov_other/claims" "$STATE/marks" >>"$ov_other/marks" || :
    done <"$STATE/others"
    ov_auto=$(awk -F '\t' '
        { file = FILENAME; sub(/.*\//, "", file) }
        file == "now" { if ($3 == "installed") there[$1]; next }
        file == "wanted" { wanted[$1]; next }
        $1 in wanted || !($1 in there) { next }
        file == "marks" || $2 == "asked" { print $1 }' \
        "$STATE/now" "$STATE/wanted" "$STATE/marks" "$STATE/stays" | sort -u)
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_auto" ] || pm_mark auto $ov_auto
}

# Packages that had to go come back, and those that got another version get the old one.
ov_pkg_put_back() {
    ov_back=$(awk -F '\t' '
        { file = FILENAME; sub(/.*\//, "", file) }
        file == "now" { if ($3 != "config") version[$1] = $2; next }
        file == "removed" { if (!($1 in version)) print $1, $2; next }
        { if (!($1 in new) || new[$1] != $2) old[$1] = $2; new[$1] = $3 }
        END { for (one in new) if (version[one] == new[one]) print one, old[one] }' \
        "$STATE/now" "$STATE/removed" "$STATE/changed")
    # shellcheck disable=SC2086 # pairs of words
    [ -z "$ov_back" ] || pm_restore $ov_back
    ov_auto=$(awk -F '\t' '$3 == "auto" { print $1 }' "$STATE/removed")
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_auto" ] || pm_mark auto $ov_auto || :
}

ov_pkg_image() { # NAME...
    ov_missing=$(ov_pkg_missing "$@")
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_missing" ] || pm_install $ov_missing || ov_fail "${ov_hint:-the packages are not installed}"
    pm_clean
}

# Wait until nobody holds a lock on one of the files, or has its process number in one of the .pid files.
ov_pkg_wait() { # FILE...
    ov_until=$(($(date +%s) + ${OV_LOCK_SECONDS:-900}))
    ov_told=
    while ov_by=$(ov_pkg_holder "$@"); do
        if [ "$ov_by" != "$ov_told" ]; then ov_say "waiting for $ov_by"; fi
        ov_told=$ov_by
        [ "$(date +%s)" -lt "$ov_until" ] || ov_fail "gave up: still there is $ov_by"
        sleep 1
    done
}

# Who is in the way: "process 123 (apt-get install x), which holds FILE". Fails when nobody is.
ov_pkg_holder() { # FILE...
    for ov_file; do
        [ -e "$ov_file" ] || continue
        case $ov_file in
        *.pid) ov_pids=$(cat -- "$ov_file" 2>/dev/null | tr -cd '0-9\n') ;;
        *) ov_pids=$(awk -v inode="$(stat -c %i -- "$ov_file")" \
            '$2 != "->" { split($6, id, ":"); if (id[3] == inode) print $5 }' /proc/locks 2>/dev/null) ;;
        esac
        for ov_pid in $ov_pids; do
            case $ov_file in
            *.pid) [ -d "/proc/$ov_pid" ] ;;
            *) ov_pkg_has_open "$ov_pid" "$ov_file" ;;
            esac || continue
            ov_words=$(tr '\0' ' ' 2>/dev/null <"/proc/$ov_pid/cmdline") || ov_words=
            printf 'process %s (%s), which holds %s\n' "$ov_pid" "${ov_words% }" "$ov_file"
            return 0
        done
    done
    return 1
}

ov_pkg_has_open() { # PID FILE
    for ov_fd in "/proc/$1/fd"/*; do
        # shellcheck disable=SC3013 # dash, bash and busybox have -ef
        if [ "$ov_fd" -ef "$2" ]; then return 0; fi
    done
    return 1
}
