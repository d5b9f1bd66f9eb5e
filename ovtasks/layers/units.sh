# shellcheck shell=sh disable=SC2154
# Part of what fragments may call, after prelude.sh: units of systemd. SCOPE is system, or user: the account that runs
# this. Of a unit, STATE has: unit (its real name), enabled and active as they were, links (those that enabled units,
# "<path><tab><target>"), triggers (units that it starts, with their state), changed (its process has old settings).

# Whether a service manager answers here. An image build sets ov_offline, and asks nobody. A user's manager may be
# about to end, so it is asked, once in a fragment.
ov_running() { # SCOPE
    [ -z "${ov_offline-}" ] && [ -d /run/systemd/system ] || return 1
    if [ "$1" = system ]; then return 0; fi
    if [ -z "${ov_manager-}" ]; then
        ov_manager=no
        if ov_user_systemctl show -p Version >/dev/null 2>&1; then ov_manager=yes; fi
    fi
    [ "$ov_manager" = yes ]
}

ov_user_systemctl() {
    env XDG_RUNTIME_DIR="/run/user/$OV_UID" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$OV_UID/bus" \
        systemctl --user "$@"
}

ov_systemctl() { # SCOPE WORDS...
    command -v systemctl >/dev/null || ov_fail "this system has no systemd, which runs services"
    ov_scope=$1
    shift
    if ! ov_running "$ov_scope"; then
        SYSTEMD_OFFLINE=1
        export SYSTEMD_OFFLINE
    fi
    if [ "$ov_scope" = user ]; then ov_user_systemctl "$@"; else systemctl "$@"; fi
}

# What a user's services get as environment is read anew. Those that run keep what they have.
ov_user_reload() { # ACCOUNT
    ov_account "$1"
    if [ -S "/run/user/$ov_to_uid/systemd/private" ] && ov_running system; then
        ov_as "$1" env XDG_RUNTIME_DIR="/run/user/$ov_to_uid" systemctl --user daemon-reload || :
    fi
}

ov_unit_paths() { # SCOPE
    if [ "$1" = user ]; then
        printf '%s\n' "$HOME/.config/systemd/user" /etc/systemd/user "$HOME/.local/share/systemd/user" \
            /usr/local/lib/systemd/user /usr/lib/systemd/user
    else
        printf '%s\n' /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system \
            /lib/systemd/system
    fi
}

# The real name of a unit: systemctl enables no alias, and Debian's sshd.service is one of ssh.service, which is only
# there while that is enabled. 1: there is no such unit.
ov_unit_find() { # SCOPE UNIT -> ov_unit
    ov_unit=$2
    if ov_unit_file "$1" "$2"; then
        if [ -h "$ov_file" ]; then
            ov_target=$(readlink -- "$ov_file")
            ov_target=${ov_target##*/}
            case $2 in
            *@?*.*) ;; # a link of an instance leads to its template
            *) if [ "$ov_target" != null ]; then ov_unit=$ov_target; fi ;;
            esac
        fi
        return 0
    fi
    case $2 in *@?*.*) if ov_unit_file "$1" "${2%%@*}@.${2##*.}"; then return 0; fi ;; esac
    ov_words="^Alias=\(.*[[:space:]]\)\{0,1\}$(printf '%s\n' "$2" | sed 's/[.\\]/\\&/g')\([[:space:]]\|\$\)"
    ov_file=$(ov_unit_paths "$1" | while IFS= read -r ov_folder; do
        grep -ls -e "$ov_words" "$ov_folder"/*."${2##*.}" 2>/dev/null || :
    done)
    if [ -n "$ov_file" ]; then
        ov_unit=${ov_file%%
*}
        ov_unit=${ov_unit##*/}
        return 0
    fi
    ov_running "$1" && [ "$(ov_systemctl "$1" show -p LoadState --value -- "$2")" = loaded ]
}

ov_unit_file() { # SCOPE UNIT -> ov_file
    ov_file=$(ov_unit_paths "$1" | while IFS= read -r ov_folder; do
        if [ -e "$ov_folder/$2" ] || [ -h "$ov_folder/$2" ]; then
            printf '%s\n' "$ov_folder/$2"
            break
        fi
    done)
    [ -n "$ov_file" ]
}

ov_unit_need() { # SCOPE UNIT -> ov_unit
    ov_unit_find "$1" "$2" || ov_fail "there is no unit $2: which package brings it? It must be among the layer's packages"
}

# In look: whether a unit is enabled and runs. Its PACE is "ends" if it may come to its end.
ov_unit_same() { # SCOPE UNIT [PACE]
    [ ! -e "$STATE/changed" ] || return 1
    case $(ov_unit_enabled "$1" "$2") in
    enabled | enabled-runtime | static | alias | generated) ;;
    indirect) [ -e "$STATE/enabled" ] || return 1 ;;
    *) return 1 ;;
    esac
    ! ov_running "$1" || ov_unit_runs "$@"
}

ov_unit_enabled() { # SCOPE UNIT
    ov_systemctl "$1" is-enabled -- "$2" 2>/dev/null || :
}

ov_unit_runs() { # SCOPE UNIT [PACE]
    ov_facts=$(ov_systemctl "$1" show -p ActiveState -p SubState -p Result -p Type -p ConditionResult \
        -p ConditionTimestampMonotonic -p InactiveEnterTimestampMonotonic -- "$2")
    ov_said() { printf '%s\n' "$ov_facts" | sed -n "s/^$1=//p"; }
    case $(ov_said ActiveState)/$(ov_said SubState) in
    active/* | reloading/* | refreshing/*) return 0 ;;
    activating/auto-restart*) return 1 ;;
    activating/*) return 0 ;;
    inactive/*) ;;
    *) return 1 ;;
    esac
    # It ended well, or its conditions do not hold on this machine: not when somebody has stopped it.
    if [ "$(ov_said ConditionResult)" = no ] && [ "$(ov_said ConditionTimestampMonotonic)" != 0 ]; then return 0; fi
    [ "$(ov_said Result)" = success ] && [ "$(ov_said InactiveEnterTimestampMonotonic)" != 0 ] || return 1
    [ "${3-}" = ends ] || [ "$(ov_said Type)" = oneshot ]
}

ov_unit_active() { # SCOPE UNIT
    case $(ov_systemctl "$1" show -p ActiveState --value -- "$2") in
    active | activating | reloading | refreshing) return 0 ;;
    esac
    return 1
}

# In save: keep FILEs and what a unit is like.
ov_unit_save() { # SCOPE UNIT FILE...
    printf '%s\n' "$2" >"$STATE/unit"
    ov_unit_enabled "$1" "$2" >"$STATE/enabled"
    ov_unit_links "$1" >"$STATE/links"
    : >"$STATE/active"
    : >"$STATE/triggers"
    if ov_running "$1"; then
        if ov_unit_active "$1" "$2"; then echo yes >"$STATE/active"; fi
        for ov_other in $(ov_systemctl "$1" show -p Triggers --value -- "$2"); do
            if ov_unit_active "$1" "$ov_other"; then ov_was=yes; else ov_was=no; fi
            printf '%s\n' "$ov_was $ov_other" >>"$STATE/triggers"
        done
    fi
    shift 2
    ov_keep "$@"
}

# The links that enable units.
ov_unit_links() { # SCOPE
    ov_folder=$(ov_unit_paths "$1" | head -n 1)
    if [ -d "$ov_folder" ]; then find "$ov_folder" -type l -printf '%p\t%l\n' | sort; fi
}

# Put an upload at PATH, unless it is there. A unit that runs is to be started again.
ov_unit_put() { # FILE PATH MODE
    if ! ov_same "$1" "$2" "$3"; then
        : >"$STATE/changed"
        ov_install "$1" "$2" "$3"
    fi
}

# After its files: enable a unit and start it; it has to run for some SECONDS.
ov_unit_begin() { # SCOPE UNIT SECONDS
    if ov_running "$1"; then ov_systemctl "$1" daemon-reload; fi
    case $(ov_unit_enabled "$1" "$2") in
    masked) ov_systemctl "$1" unmask --quiet -- "$2" ;;
    masked-runtime) ov_systemctl "$1" unmask --quiet --runtime -- "$2" ;;
    esac
    case $(ov_unit_enabled "$1" "$2") in
    enabled | enabled-runtime | static | alias | generated) ;;
    *) ov_systemctl "$1" enable --quiet -- "$2" ;;
    esac
    if ov_running "$1"; then ov_unit_start "$@"; fi
}

# Start or restart a unit, however often that was done just now: systemd counts the starts.
ov_unit_go() { # SCOPE start|restart UNIT
    ov_systemctl "$1" reset-failed -- "$3" 2>/dev/null || :
    ov_systemctl "$1" "$2" -- "$3"
}

ov_unit_start() { # SCOPE UNIT SECONDS
    ov_verb=start
    ov_stopped=
    if ov_unit_active "$1" "$2"; then
        if [ -e "$STATE/changed" ]; then ov_verb=restart; fi
    else
        case $2 in
        *.socket) # it cannot listen while its service does
            for ov_other in $(ov_systemctl "$1" show -p Triggers --value -- "$2"); do
                if ov_unit_active "$1" "$ov_other"; then
                    ov_systemctl "$1" stop -- "$ov_other"
                    ov_stopped="$ov_stopped $ov_other"
                fi
            done
            ;;
        esac
    fi
    ov_unit_go "$1" "$ov_verb" "$2" || ov_unit_failed "$1" "$2"
    for ov_other in $ov_stopped; do ov_unit_go "$1" start "$ov_other"; done
    if [ "$3" != 0 ]; then sleep "$3"; fi
    ov_unit_runs "$1" "$2" ends || ov_unit_failed "$1" "$2"
    rm -f -- "$STATE/changed"
}

ov_unit_failed() { # SCOPE UNIT
    ov_systemctl "$1" status --no-pager --lines=20 --full -- "$2" >&2 || :
    ov_fail "$2 does not start, or does not stay up"
}

# A unit that is neither enabled nor started: its settings count when it runs anyway.
ov_unit_settle() { # SCOPE UNIT
    if ov_running "$1"; then
        ov_systemctl "$1" daemon-reload
        if [ -e "$STATE/changed" ] && ov_unit_active "$1" "$2"; then
            ov_unit_go "$1" restart "$2" || ov_unit_failed "$1" "$2"
        fi
    fi
    rm -f -- "$STATE/changed"
}

# In undo: enabled, running and with the files as it was.
ov_unit_undo() { # SCOPE
    IFS= read -r ov_unit <"$STATE/unit"
    IFS= read -r ov_enabled <"$STATE/enabled" || ov_enabled=
    ov_was=$(cat -- "$STATE/active")
    if ov_running "$1" && ov_unit_known "$1" "$ov_unit" && [ -z "$ov_was" ]; then
        ov_unit_triggers no "$1"
        ov_systemctl "$1" stop -- "$ov_unit"
    fi
    if [ ! -e "$STATE/links.undo" ]; then
        ov_unit_links "$1" >"$STATE/links.new"
        mv -- "$STATE/links.new" "$STATE/links.undo"
    fi
    case $ov_enabled in
    '' | disabled | indirect | linked* | not-found | masked*)
        if ov_unit_file "$1" "$ov_unit" || [ "$ov_unit" != "${ov_unit%@*}" ]; then
            ov_systemctl "$1" disable --quiet -- "$ov_unit" 2>/dev/null || :
        fi
        ;;
    esac
    ov_restore
    ov_unit_relink
    case $ov_enabled in
    masked) ov_systemctl "$1" mask --quiet -- "$ov_unit" ;;
    masked-runtime) ov_systemctl "$1" mask --quiet --runtime -- "$ov_unit" ;;
    esac
    if ov_running "$1"; then
        ov_systemctl "$1" daemon-reload
        if [ -n "$ov_was" ]; then
            if [ -e "$STATE/1.path" ] && ov_unit_active "$1" "$ov_unit"; then
                ov_unit_go "$1" restart "$ov_unit"
            else
                ov_unit_go "$1" start "$ov_unit"
            fi
        else
            ov_systemctl "$1" reset-failed -- "$ov_unit" 2>/dev/null || :
        fi
        ov_unit_triggers yes "$1"
    fi
}

ov_unit_known() { # SCOPE UNIT
    case $(ov_systemctl "$1" show -p LoadState --value -- "$2") in loaded | masked | error | bad-setting) return 0 ;; esac
    ov_unit_active "$1" "$2"
}

# Units that this one starts: stop those that did not run before (no), start those that did (yes).
ov_unit_triggers() { # yes|no SCOPE
    while read -r ov_state ov_other; do
        if [ "$ov_state" != "$1" ]; then continue; fi
        if [ "$1" = yes ]; then
            ov_unit_go "$2" start "$ov_other"
        elif ov_unit_active "$2" "$ov_other"; then
            ov_systemctl "$2" stop -- "$ov_other"
        fi
    done <"$STATE/triggers"
}

# Disabling takes away the links of units that this one also enables. Those that were there before come back.
ov_unit_relink() {
    while IFS='	' read -r ov_path ov_target; do
        if [ -e "$ov_path" ] || [ -h "$ov_path" ]; then continue; fi
        if grep -qxF -e "$ov_path	$ov_target" -- "$STATE/links.undo"; then
            ov_link "$ov_target" "$ov_path"
        fi
    done <"$STATE/links"
}

# Services of an account run without a login. Each layer that wants it leaves a mark, and the last one to go puts back
# what was: ".off" says that it was off.
ov_linger_marks() { # ACCOUNT -> ov_marks
    ov_account "$1"
    ov_marks=/var/lib/ovtasks/linger/$ov_to_uid
}

ov_linger_same() { # ACCOUNT LAYER
    ov_linger_marks "$1"
    [ -e "$ov_marks/$2" ] && [ -e "/var/lib/systemd/linger/$ov_to_name" ] || return 1
    ! ov_running system || systemctl --quiet is-active "user@$ov_to_uid.service"
}

ov_linger_on() { # ACCOUNT LAYER
    ov_linger_marks "$1"
    mkdir -p -- "$ov_marks"
    if [ ! -e "/var/lib/systemd/linger/$ov_to_name" ]; then : >"$ov_marks/.off"; fi
    : >"$ov_marks/$2"
    if ! ov_running system || ! loginctl enable-linger "$ov_to_name"; then
        mkdir -p -- /var/lib/systemd/linger
        : >"/var/lib/systemd/linger/$ov_to_name"
    fi
    if ov_running system; then systemctl start "user@$ov_to_uid.service"; fi
}

ov_linger_off() { # ACCOUNT LAYER
    ov_linger_marks "$1"
    rm -f -- "$ov_marks/$2"
    for ov_other in "$ov_marks"/*; do
        if [ -e "$ov_other" ]; then return 0; fi
    done
    if [ -e "$ov_marks/.off" ]; then
        if ! ov_running system || ! loginctl disable-linger "$ov_to_name"; then
            rm -f -- "/var/lib/systemd/linger/$ov_to_name"
        fi
        rm -f -- "$ov_marks/.off"
    fi
    rmdir -- "$ov_marks" "${ov_marks%/*}" 2>/dev/null || :
}
