# shellcheck shell=sh
# Operations of repositories, whatever the package manager. The files of packages come before this one.
# What an operation keeps in $STATE, besides what ov_keep keeps there:
#
#   wants     the files, lines and keys that the layer wants: "file PATH", "line TEXT"; written when all is there
#   lists     what was downloaded from the repository: paths, and beginnings of paths that end in _ or -
#   keys      keys that came into rpm's database
#   lines     lines that were added: the file, a tab, the line

# Other operations of applied layers that want the same, a state folder a line.
ov_repo_others() { # WANT
    for ov_other in "${STATE%/*/*/*/*}"/*/operations/*/state; do
        if [ "$ov_other" != "$STATE" ] && grep -Fqx -e "$1" "$ov_other/wants" 2>/dev/null; then
            printf '%s\n' "$ov_other"
        fi
    done
}

ov_repo_want() { # WANT...
    printf '%s\n' "$@" | sed '/^$/d' >"$STATE/wants.new"
    mv "$STATE/wants.new" "$STATE/wants"
}

# Before ov_restore: of each file that another layer wants, too, that layer gets to know what was there before us.
ov_repo_leave_files() {
    ov_n=1
    while [ -e "$STATE/$ov_n.path" ]; do
        IFS= read -r ov_path <"$STATE/$ov_n.path"
        for ov_other in $(ov_repo_others "file $ov_path"); do
            ov_m=1
            while [ -e "$ov_other/$ov_m.path" ]; do
                if cmp -s "$STATE/$ov_n.path" "$ov_other/$ov_m.path"; then
                    rm -f "$ov_other/$ov_m".*
                    for ov_part in "$STATE/$ov_n".*; do cp -a "$ov_part" "$ov_other/$ov_m.${ov_part##*.}"; done
                fi
                ov_m=$((ov_m + 1))
            done
            # For us, the file as it is now is what was there.
            if [ -f "$ov_path" ]; then
                rm -f "$STATE/$ov_n.parents" "$STATE/$ov_n.caps"
                cp -a "$ov_path" "$STATE/$ov_n.copy"
            fi
        done
        ov_n=$((ov_n + 1))
    done
}

# Whether another layer wants a file of ours; then it also gets our notes.
ov_repo_shared() {
    ov_shared=
    [ -e "$STATE/wants" ] || return 1
    while IFS= read -r ov_want; do
        for ov_other in $(ov_repo_others "$ov_want"); do
            ov_shared=yes
            for ov_note in lists keys; do
                if [ -e "$STATE/$ov_note" ]; then cat "$STATE/$ov_note" >>"$ov_other/$ov_note"; fi
            done
        done
    done <"$STATE/wants"
    [ -n "$ov_shared" ]
}

# A line at the end of a file.
ov_repo_line() { # FILE LINE
    if ! grep -Fqx -e "$2" "$1" 2>/dev/null; then
        printf '%s\t%s\n' "$1" "$2" >>"$STATE/lines"
        ov_temp "$1" # sets ov_new
        # shellcheck disable=SC2154
        cp -p -- "$1" "$ov_new" 2>/dev/null || : >"$ov_new"
        [ -z "$(tail -c 1 "$ov_new")" ] || echo >>"$ov_new"
        printf '%s\n' "$2" >>"$ov_new"
        ov_put "$ov_new" "$1"
    fi
}

ov_repo_unline() {
    [ -e "$STATE/lines" ] || return 0
    ov_tab=$(printf '\t')
    while IFS=$ov_tab read -r ov_file ov_line; do
        ov_heirs=$(ov_repo_others "line $ov_line")
        if [ -n "$ov_heirs" ]; then
            for ov_other in $ov_heirs; do printf '%s\t%s\n' "$ov_file" "$ov_line" >>"$ov_other/lines"; done
        elif grep -Fqx -e "$ov_line" "$ov_file" 2>/dev/null; then
            ov_temp "$ov_file"
            cp -p -- "$ov_file" "$ov_new"
            grep -Fvx -e "$ov_line" "$ov_file" >"$ov_new" || :
            ov_put "$ov_new" "$ov_file"
        fi
    done <"$STATE/lines"
}

ov_repo_undo() {
    if ! ov_repo_shared; then
        while IFS= read -r ov_start; do
            case $ov_start in
            *[_-]) rm -rf -- "$ov_start"* ;;
            *) rm -rf -- "$ov_start" ;;
            esac
        done 2>/dev/null <"$STATE/lists" || :
        # shellcheck disable=SC2046 # names have no blanks
        [ ! -s "$STATE/keys" ] || ov_rpm_keys $(sort -u "$STATE/keys")
    fi
    ov_repo_leave_files
    ov_restore
    ov_repo_unline
}
