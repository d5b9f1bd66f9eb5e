# shellcheck shell=sh
# Repositories of dnf and zypper: a file that names one or several, packages that bring them, COPR, module streams.

# The IDs of the repositories in a file; those alone that are used. An ID becomes part of paths, so it has no slash.
ov_ini_ids() { # FILE
    awk '
        function out() { if (on && id ~ /^[A-Za-z0-9][A-Za-z0-9._:+-]*$/) print id }
        /^\[/ { out(); id = $0; gsub(/[][[:space:]]/, "", id); on = 1 }
        /^enabled[[:space:]]*=[[:space:]]*(0|no|false|off)/ { on = 0 }
        END { out() }' "$1"
}

ov_ini_save() { # PATH KEY-PATH...
    pm_ready
    ov_keep "$@"
    rpm -qa 'gpg-pubkey*' >"$STATE/keys.before"
}

# Note which keys are new.
ov_ini_keys() {
    rpm -qa 'gpg-pubkey*' | grep -Fvx -f "$STATE/keys.before" >>"$STATE/keys" || :
}

ov_ini_undo() {
    if [ ! -e "$STATE/wants" ]; then ov_ini_keys; fi
    ov_repo_undo
}

ov_ini_do() { # PATH KEY-PATH...
    pm_ready
    ov_repo=$1
    shift
    ov_number=0
    for ov_key; do
        ov_number=$((ov_number + 1))
        ov_install "$FILES/key$ov_number" "$ov_key" 0644
        rpm --import "$ov_key"
    done
    ov_install "$FILES/source" "$ov_repo" 0644
    for ov_id in $(ov_ini_ids "$ov_repo"); do
        printf '%s\n' "/var/cache/dnf/$ov_id-" "/var/cache/libdnf5/$ov_id-" "/var/cache/zypp/raw/$ov_id" \
            "/var/cache/zypp/solv/$ov_id" "/var/cache/zypp/packages/$ov_id" "/var/cache/zypp/pubkeys/$ov_id" \
            >>"$STATE/lists"
        if ! ov_ini_try "$ov_id"; then
            ov_ini_undo
            ov_fail "the repository $ov_id cannot be used"
        fi
    done
    ov_ini_keys
    set -- "$ov_repo" "$@"
    for ov_path; do
        shift
        set -- "$@" "file $ov_path"
    done
    ov_repo_want "$@"
}

ov_ini_look() { # PATH KEY-PATH...
    [ -e "$STATE/wants" ] && ov_same "$FILES/source" "$1" 0644 || return 1
    shift
    ov_number=0
    for ov_key; do
        ov_number=$((ov_number + 1))
        ov_same "$FILES/key$ov_number" "$ov_key" 0644 || return 1
    done
}

ov_ini_image() { # PATH KEY-PATH...
    ov_install "$FILES/source" "$1" 0644
    shift
    ov_number=0
    for ov_key; do
        ov_number=$((ov_number + 1))
        ov_install "$FILES/key$ov_number" "$ov_key" 0644
        rpm --import "$ov_key"
    done
}

# --- a package that brings repositories --------------------------------------------------------------------------

ov_release_save() {
    ov_pkg_save
    rpm -qa 'gpg-pubkey*' >"$STATE/keys.before"
}

ov_release_do() {
    pm_ready
    # shellcheck disable=SC2154 # the fragment sets ov_url
    ov_release=$(rpm -qp --qf '%{NAME}' "$FILES/release.rpm") || ov_fail "$ov_url is no package of rpm"
    printf '%s\n' "$ov_release" >"$STATE/release"
    if [ -n "$(ov_pkg_missing "$ov_release")" ]; then
        if [ ! -e "$STATE/start" ]; then
            pm_list >"$STATE/start.new"
            mv "$STATE/start.new" "$STATE/start"
        fi
        ov_release_install "$FILES/release.rpm"
    fi
    ov_pkg_record "$ov_release"
}

ov_release_image() {
    ov_release_install "$FILES/release.rpm"
}

ov_release_look() {
    [ -e "$STATE/release" ] && ov_pkg_look "$(cat "$STATE/release")"
}

ov_release_undo() {
    [ ! -e "$STATE/release" ] || ov_pkg_undo "$(cat "$STATE/release")"
}

# --- COPR --------------------------------------------------------------------------------------------------------

# dnf's file of a project: _copr:HOST:OWNER:PROJECT.repo.
ov_copr_file() { # OWNER/PROJECT
    ov_owner=${1%/*}
    case $ov_owner in @*) ov_owner=group_${ov_owner#@} ;; esac
    for ov_file in "/etc/yum.repos.d/_copr"*":$ov_owner:${1#*/}.repo"; do
        if [ -e "$ov_file" ]; then printf '%s\n' "$ov_file"; fi
    done
}

ov_copr_look() { # OWNER/PROJECT
    ov_file=$(ov_copr_file "$1")
    [ -e "$STATE/wants" ] && [ -n "$ov_file" ] && [ -n "$(ov_ini_ids "$ov_file")" ]
}

ov_copr_save() { # OWNER/PROJECT
    pm_ready
    ov_file=$(ov_copr_file "$1")
    [ -z "$ov_file" ] || ov_keep "$ov_file"
}

ov_copr_do() { # OWNER/PROJECT
    pm_ready
    ov_dnf copr enable "$1"
    ov_repo_want "copr $1"
}

ov_copr_undo() { # OWNER/PROJECT
    ov_heirs=$(ov_repo_others "copr $1")
    if [ -n "$ov_heirs" ]; then
        for ov_other in $ov_heirs; do # what was there before us is what was there before them
            rm -f "$ov_other"/1.*
            for ov_part in "$STATE"/1.*; do [ ! -e "$ov_part" ] || cp -a "$ov_part" "$ov_other"; done
        done
        return 0
    fi
    if [ -e "$STATE/1.path" ]; then
        ov_restore
    elif [ -n "$(ov_copr_file "$1")" ]; then
        ov_dnf copr remove "$1"
    fi
}

# --- streams of modules ------------------------------------------------------------------------------------------

ov_module_stream() { # NAME: the stream that is enabled, if any
    dnf -q module list --enabled "$1" 2>/dev/null |
        awk -v name="$1" '$1 == name && /\[[a-z]*e[a-z]*\]/ { print $2 }' | sed 's/\[.*//' | head -n 1
}

ov_module_look() { # NAME STREAM
    [ -e "$STATE/wants" ] && [ "$(ov_module_stream "$1")" = "$2" ]
}

ov_module_save() { # NAME
    pm_ready
    ov_module_stream "$1" >"$STATE/stream"
}

ov_module_do() { # NAME STREAM
    pm_ready
    if [ -s "$STATE/stream" ] && [ "$(cat "$STATE/stream")" != "$2" ]; then ov_dnf module reset "$1"; fi
    ov_dnf module enable "$1:$2"
    ov_repo_want "module $1:$2"
}

ov_module_undo() { # NAME STREAM
    pm_ready
    ov_heirs=$(ov_repo_others "module $1:$2")
    if [ -n "$ov_heirs" ]; then
        for ov_other in $ov_heirs; do cp "$STATE/stream" "$ov_other/stream"; done
        return 0
    fi
    ov_dnf module reset "$1"
    [ ! -s "$STATE/stream" ] || ov_dnf module enable "$1:$(cat "$STATE/stream")"
}
