# shellcheck shell=sh disable=SC2154,SC2034 # the script sets and reads variables
# What a deployment's script is made of, besides prelude.sh: the record in the guest, and the steps of an operation.
#
# The record, below the base folder (root's: /var/lib/ovtasks; without root: ~/.local/state/ovtasks):
#   lock, run/                    one deployment at a time, and what it needs meanwhile
#   uploads/<token>/              big uploads on their way
#   preludes/<digest>.sh          the functions that a kept undo was written for
#   layers/<layer>/receipt.json   as on the host; only there while the layer is whole
#   layers/<layer>/operations/<NNN>-<slug>/   NNN has as many digits as the layer needs, but three
#       about     a line each: digest, name, user, gate, the prelude's digest, kind, caveat
#       look undo sums    the texts; one that is empty is not there
#       state/    what save keeps
#       saved     save has ended. Without it nothing was done, and the rest of the folder means nothing
#       kept      it was so already: nothing was done, nothing is to be undone
#       done      do has ended
#
# In a small guest each process costs more than all that the shell does by itself. So folders are made many at a time,
# texts are written by the shell, save and do share a process, and the disk is told to write only where a power cut could
# lose what was there before: an operation that has replaced nothing waits for one that has, and for a command that
# nobody can undo, some seconds at most. Small layers wait for each other: ov_flush makes all of them last at once, and
# only then says that they are whole.
# The script sets ov_token (begins each line for the host), ov_prelude and ov_prelude_digest; then it calls ov_begin.

ov_event() { # WORDS...
    printf '%s %s\n' "$ov_token" "$*" >&3
}

ov_begin() { # [BASE]
    exec 3>&1 2>&1
    umask 077
    ov_said=$(id)
    OV_UID=${ov_said#uid=} OV_GID=${ov_said#*gid=} USER=${ov_said%% *}
    OV_UID=${OV_UID%%[!0-9]*} OV_GID=${OV_GID%%[!0-9]*}
    case $USER in
    *"("*")") USER=${USER#*"("} USER=${USER%")"} ;;
    *) USER=$OV_UID ;;
    esac
    if [ -n "${1-}" ]; then
        ov_base=$1
    elif [ "$OV_UID" = 0 ]; then
        ov_base=/var/lib/ovtasks
        HOME=/root
    else
        ov_base=${XDG_STATE_HOME:-$HOME/.local/state}/ovtasks
    fi
    LOGNAME=$USER
    PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
    export OV_UID OV_GID HOME USER LOGNAME PATH
    ov_run=$ov_base/run
    ov_bad=0
    ov_number=0
    ov_unsynced=
    ov_waiting=0
    ov_phase=
    ov_clock
    ov_flushed=$ov_now
}

# Whether it is some seconds ago that all was written to the disk.
ov_late() {
    ov_clock
    [ $((ov_now - ov_flushed)) -ge 5 ]
}

# Seconds since the boot -> ov_now
ov_clock() {
    ov_now=0
    if [ -r /proc/uptime ]; then read -r ov_now _ </proc/uptime; fi
    ov_now=${ov_now%%.*}
}

# One deployment at a time. A lock ends with its holder, so a killed one is in nobody's way.
ov_lock() { # [NUMBER of folders for uploads]
    if [ ! -d "$ov_base/preludes" ]; then
        (umask 022 && mkdir -p -- "${ov_base%/*}") || exit 1
        (umask 066 && mkdir -p -- "$ov_base/layers" "$ov_base/preludes") || exit 1
    fi
    if command -v flock >/dev/null; then
        exec 9>"$ov_base/lock"
        if ! flock -n 9; then
            ov_event waiting
            flock 9
        fi
    else
        ov_lock_folder
    fi
    trap 'ov_end' EXIT
    trap 'ov_phase= && exit 130' HUP INT TERM
    if [ -e "$ov_run" ]; then rm -rf -- "$ov_run"; fi
    ov_rooms=${1-0}
    set -- "$ov_run"
    while [ "$ov_rooms" -gt 0 ]; do
        set -- "$@" "$ov_run/$ov_rooms"
        ov_rooms=$((ov_rooms - 1))
    done
    mkdir -- "$@" || exit 1
}

# Without flock: a folder with who holds it. The boot's id tells an old holder from a new process of its number.
ov_lock_folder() {
    ov_told=
    ov_tries=0
    read -r ov_boot </proc/sys/kernel/random/boot_id
    until mkdir -- "$ov_base/held" 2>/dev/null; do
        read -r ov_holder 2>/dev/null <"$ov_base/held/by" || ov_holder=
        if [ -n "$ov_holder" ] && { [ "${ov_holder#* }" != "$ov_boot" ] || [ ! -d "/proc/${ov_holder%% *}" ]; }; then
            rm -rf -- "$ov_base/held"
        elif [ -z "$ov_holder" ] && [ "$ov_tries" -gt 5 ]; then # it was killed before it could say who it is
            rm -rf -- "$ov_base/held"
        else
            ov_tries=$((ov_tries + 1))
            [ -n "$ov_told" ] || ov_event waiting
            ov_told=yes
            sleep 1
        fi
    done
    # This may be a subshell, which $$ does not tell.
    # shellcheck disable=SC2016
    ov_holder=$(exec sh -c 'echo "$PPID"')
    echo "$ov_holder $ov_boot" >"$ov_base/held/by"
}

ov_end() {
    ov_ended=$?
    set +eu
    ov_flush || :
    if [ -n "$ov_phase" ]; then ov_event failed "$ov_phase $ov_ended $ov_name"; fi
    rm -rf -- "$ov_run" "$ov_base/held" "${ov_uploads:-$ov_run}"
}

# Run a fragment in this process.
ov_inside() { # TEXT
    cd "$HOME" 2>/dev/null || cd /
    umask 022
    set -eu
    # shellcheck disable=SC2016 # the text itself
    if [ "$1" = 'ov_shell "$FILES/body"' ]; then ov_last="exec"; fi # nothing comes after it
    eval "$1"
}

# Run one fragment in a process of its own, as its account. It sees STATE, FILES and OV_SUMS, and no open file of ours.
# OV_SUMS stays out of the environment: a folder of two thousand files makes it longer than execve(2) takes.
ov_fragment() { # TEXT USER
    if [ "$2" = "$USER" ]; then
        (
            exec 3>&- 9>&- </dev/null
            export STATE FILES
            ov_inside "$1"
        )
        return
    fi
    rm -f -- "$ov_run/fragment" # it is another account's
    ov_quote "$OV_SUMS"
    # shellcheck disable=SC2016 # the other shell expands it
    printf '%s\n' 'set -eu; cd "$HOME" 2>/dev/null || cd /; export STATE="$1" FILES="$2"; . "$3"' \
        "OV_SUMS=$ov_quoted" "$1" >"$ov_run/fragment"
    if [ ! -e "$ov_run/prelude.sh" ]; then
        chmod 0711 -- "$ov_run"
        (umask 022 && printf '%s\n' "$ov_prelude" >"$ov_run/prelude.sh")
    fi
    (
        exec 3>&- 9>&- </dev/null
        umask 022
        set -eu
        ov_give "$2" "$ov_run/fragment"
        ov_as "$2" sh "$ov_run/fragment" "$STATE" "$FILES" "$ov_run/prelude.sh"
    )
}

# A text as one word of the shell.
ov_quote() { # TEXT -> ov_quoted
    ov_quoted="'$1'"
    case $1 in *\'*) ov_quoted=$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/") ;; esac
}

# Let an account have what its fragment works with.
ov_give() { # ACCOUNT PATH...
    if [ "$1" = "$USER" ]; then return 0; fi
    ov_account "$1"
    shift
    if [ "$ov_to_uid:$ov_to_gid" != "$OV_UID:$OV_GID" ]; then chown -R "$ov_to_uid:$ov_to_gid" -- "$@"; fi
}

# What was done stays done when the power fails.
ov_sync() { # PATH
    sync -f -- "$1" 2>/dev/null || sync
}

ov_enter() { # LAYER
    ov_layer=$1
    ov_home=$ov_base/layers/$1
    ov_ops=$ov_home/operations
    ov_event layer "$1"
}

# The layer is going to have these operations: undo what comes from the first difference on, make folders for the new.
ov_prepare() { # NNN-SLUG=DIGEST...
    ov_name="the record"
    if [ -e "$ov_home/receipt.json" ]; then rm -f -- "$ov_home/receipt.json"; fi
    ov_equal=0
    ov_more=
    for ov_op in "$ov_ops"/*-*; do
        [ -d "$ov_op" ] || break
        ov_more=yes
        read -r ov_had 2>/dev/null <"$ov_op/about" || ov_had=
        if [ ! -e "$ov_op/saved" ] || [ "${ov_op##*/}=$ov_had" != "${1-}" ]; then break; fi
        ov_more=
        ov_equal=$((ov_equal + 1))
        shift
    done
    if [ -n "$ov_more" ]; then ov_undo_from "$ov_equal"; fi
    if [ "${ov_failed-0}" != 0 ]; then exit 1; fi
    for ov_id; do
        set -- "$@" "$ov_ops/${ov_id%%=*}/state"
        shift
    done
    if [ $# = 0 ] && [ ! -d "$ov_home" ]; then set -- "$ov_home"; fi
    if [ $# -gt 0 ]; then mkdir -p -- "$@" || ov_stop record 1; fi
}

# Undo the layer's operations but the first N, the last first. One that fails stays in the record.
ov_undo_from() { # N [GATE...] -> ov_failed
    ov_first=$1
    shift
    ov_gates=" $* "
    ov_failed=0
    ov_ids=$(cd -- "$ov_ops" 2>/dev/null && ls -r)
    for ov_id in $ov_ids; do
        if [ "${ov_id%%-*}" -gt "$ov_first" ]; then
            ov_op=$ov_ops/$ov_id
            if [ -e "$ov_op/saved" ]; then ov_undo_one; else rm -rf -- "$ov_op"; fi
        fi
    done
}

# What the record says about ov_op -> ov_digest, ov_name, ov_user, ov_gate, ov_wants
ov_about() {
    {
        IFS= read -r ov_digest
        IFS= read -r ov_name
        IFS= read -r ov_user
        IFS= read -r ov_gate
        IFS= read -r ov_wants
    } <"$ov_op/about"
}

# A text of the record; nothing if it is empty.
ov_text() { # NAME
    if [ -e "$ov_op/$1" ]; then cat -- "$ov_op/$1"; fi
}

ov_undo_one() { # ov_op, ov_gates
    ov_about
    if [ -n "$ov_gate" ] && [ "${ov_gates#* "$ov_gate" }" != "$ov_gates" ]; then
        ov_result=left
    elif [ -e "$ov_op/kept" ]; then
        ov_result=untouched
    elif [ ! -s "$ov_op/undo" ]; then
        ov_result=cannot
    else
        ov_event undoing "$ov_name"
        ov_undo_text
        ov_status=$?
        if [ "$ov_status" != 0 ]; then
            ov_event undo-failed "$ov_status $ov_name"
            ov_failed=1
            return
        fi
        ov_result=undone
    fi
    rm -rf -- "$ov_op/saved" "$ov_op" # in this order
    ov_event "$ov_result" "$ov_name"
}

ov_undo_text() {
    STATE=$ov_op/state FILES=$ov_run/none
    OV_SUMS=$(ov_text sums)
    if [ "$ov_wants" != "$ov_prelude_digest" ] && [ -e "$ov_base/preludes/$ov_wants.sh" ]; then
        ov_undo=". '$ov_base/preludes/$ov_wants.sh'
$(ov_text undo)"
    else
        ov_undo=$(ov_text undo)
    fi
    ov_fragment "$ov_undo" "$ov_user"
}

# One operation: ov_id (NNN-slug), ov_name, ov_kind, ov_user, ov_gate, ov_digest, OV_SUMS, ov_caveat, and the texts
# ov_look, ov_save, ov_do, ov_undo.
ov_operation() {
    ov_op=$ov_ops/$ov_id
    STATE=$ov_op/state
    if [ -n "$OV_SUMS" ]; then ov_number=$((ov_number + 1)); fi
    FILES=$ov_run/$ov_number
    if [ -e "$ov_op/done" ] && [ -z "$ov_look" ]; then
        ov_event same "$ov_name"
        return
    fi
    ov_looks_so
    if [ "$ov_status" = 0 ]; then
        if [ -e "$ov_op/done" ]; then
            ov_event same "$ov_name"
        elif [ -e "$ov_op/saved" ]; then # a killed run did it
            ov_mark "done"
            ov_event "done" "$ov_name"
        else
            ov_record
            ov_mark kept "done" saved
            ov_event kept "$ov_name"
        fi
        return
    fi
    if [ -e "$ov_op/kept" ]; then # no longer so: what is there now is the prior state
        rm -rf -- "$ov_op/saved" "$ov_op"
        mkdir -p -- "$STATE" || ov_stop record 1
    fi
    ov_event doing "$ov_name"
    if [ -n "$OV_SUMS" ]; then ov_files; fi
    if [ -e "$ov_op/done" ]; then rm -f -- "$ov_op/done"; fi
    if [ -e "$ov_op/saved" ]; then
        ov_fragment "$ov_do" "$ov_user"
        ov_status=$?
    else
        ov_save_and_do
    fi
    if [ "$ov_status" != 0 ]; then ov_stop "do" "$ov_status"; fi
    ov_mark "done"
    ov_event "done" "$ov_name"
}

ov_mark() { # WORD...
    for ov_word; do
        : >"$ov_op/$ov_word" || ov_stop record 1
    done
}

# The operation's uploads: ov_bring writes them into FILES.
ov_files() {
    if [ ! -d "$FILES" ]; then mkdir -- "$FILES"; fi
    ov_content_at=
    ov_bring
    ov_status=$?
    if [ "$ov_status" != 0 ]; then ov_stop upload "$ov_status"; fi
    if [ "$ov_user" != "$USER" ]; then
        (ov_give "$ov_user" "$FILES") || ov_stop upload 1
    fi
}

ov_stop() { # PHASE STATUS
    ov_flush || : # what failed first is told
    ov_event failed "$1 $2 $ov_name"
    exit 1
}

# A fragment runs below no condition (if, &&, ||): there the shell ignores its set -e.
ov_looks_so() { # -> ov_status
    ov_status=1
    if [ -n "$ov_look" ] && ! ov_absent; then
        ov_fragment "$ov_look" "$ov_user" >/dev/null 2>&1
        ov_status=$?
    fi
}

# Whether what it makes is missing. Once done, only its account knows: root may not see into each home.
ov_absent() {
    [ -n "${ov_makes-}" ] && [ ! -e "$ov_op/done" ] && [ ! -e "$ov_makes" ] && [ ! -h "$ov_makes" ]
}

# Save, then do. Our own account's share a process; save has ended when there is the mark for it.
ov_save_and_do() { # -> ov_status, of do
    ov_save_begins
    if [ "$ov_user" = "$USER" ] && ov_is_simple; then
        ov_here
        return
    fi
    if [ "$ov_user" = "$USER" ]; then
        (
            exec 3>&- 9>&- </dev/null
            export STATE FILES
            ov_inside "$ov_save"
            ov_saved
            ov_inside "$ov_do"
        )
        ov_status=$?
        if [ -e "$ov_op/saved" ]; then
            if ov_can_wait; then ov_unsynced=yes; elif [ -n "$ov_undo" ]; then ov_unsynced=; fi
            return
        fi
    else
        ov_status=0
        if [ -n "$ov_save" ]; then
            ov_fragment "$ov_save" "$ov_user"
            ov_status=$?
        fi
    fi
    if [ "$ov_status" != 0 ]; then ov_stop save "$ov_status"; fi
    ov_saved || ov_stop record 1 # also where save has ended the process that was to go on with do
    ov_fragment "$ov_do" "$ov_user"
    ov_status=$?
}

# Whether save and do are a call each of a function that leaves this shell as it is.
ov_is_simple() {
    case $ov_save$ov_do in
    *[\;\&\|\`\<\>\(\)]* | *"
"*) return 1 ;;
    esac
    case $ov_save%$ov_do in
    "ov_keep "*"%ov_install "* | "ov_keep "*"%ov_link "*) ;;
    *) return 1 ;;
    esac
}

# Save and do without a process of their own. One that fails ends the script, and ov_end tells.
ov_here() { # -> ov_status
    ov_phase=save
    umask 022
    set -eu
    eval "$ov_save"
    ov_saved
    ov_phase="do"
    eval "$ov_do"
    set +eu
    umask 077
    ov_phase=
    ov_status=0
}

ov_save_begins() {
    if [ -e "$ov_op/about" ]; then # a killed run began it
        rm -rf -- "$STATE"
        mkdir -- "$STATE" || ov_stop record 1
    fi
    ov_record
    if [ "$ov_user" != "$USER" ]; then
        chmod 0711 -- "$ov_home" "$ov_ops" "$ov_op"
        (ov_give "$ov_user" "$STATE") || ov_stop save 1
    fi
}

ov_saved() {
    if ov_can_wait; then
        ov_unsynced=yes
    elif [ -n "$ov_undo" ] || { [ -n "$ov_unsynced" ] && ov_late; }; then
        ov_sync "$ov_op" || return 1
        ov_unsynced=
    fi
    : >"$ov_op/saved"
}

# Whether nothing is lost if the power fails now: ov_keep has found nothing, and do only puts that in its place.
ov_can_wait() {
    [ "$ov_undo" = ov_restore ] || return 1
    for ov_file in "$STATE"/*; do
        case $ov_file in
        *.path | *.parents) ;;
        *) return 1 ;;
        esac
    done
}

# What undo will need.
ov_record() {
    if [ ! -e "$ov_base/preludes/$ov_prelude_digest.sh" ]; then
        (umask 022 && printf '%s\n' "$ov_prelude" >"$ov_base/preludes/.new") || ov_stop record 1
        mv -- "$ov_base/preludes/.new" "$ov_base/preludes/$ov_prelude_digest.sh"
    fi
    printf '%s\n' "$ov_digest" "$ov_name" "$ov_user" "$ov_gate" "$ov_prelude_digest" "$ov_kind" "$ov_caveat" \
        >"$ov_op/about" || ov_stop record 1
    ov_write look "$ov_look"
    ov_write undo "$ov_undo"
    ov_write sums "$OV_SUMS"
}

ov_write() { # NAME TEXT
    if [ -n "$2" ]; then
        printf '%s' "$2" >"$ov_op/$1" || ov_stop record 1
    elif [ -e "$ov_op/$1" ]; then
        rm -f -- "$ov_op/$1"
    fi
}

# The layer is whole, and waits for those after it unless some seconds have passed.
ov_finish() { # RECEIPT
    ov_name="the receipt"
    ov_waiting=$((ov_waiting + 1))
    # shellcheck disable=SC2034 # ov_flush reads it
    ov_receipt=$1
    eval "ov_whole_$ov_waiting=\$ov_layer ov_receipt_$ov_waiting=\$ov_receipt"
    if ov_late; then ov_flush || exit 1; fi
}

# What was done lasts; then the layers that wait for that are whole.
ov_flush() {
    if [ "$ov_waiting" = 0 ]; then return 0; fi
    set --
    while [ $# -lt "$ov_waiting" ]; do
        eval "ov_whole=\$ov_whole_$(($# + 1)) ov_receipt=\$ov_receipt_$(($# + 1))"
        printf '%s\n' "$ov_receipt" >"$ov_base/layers/$ov_whole/receipt.json" || break
        set -- "$@" "$ov_whole"
    done
    ov_sync "$ov_base"
    ov_unsynced=
    for ov_whole; do ov_event whole "$ov_whole"; done
    if [ $# -lt "$ov_waiting" ]; then ov_bad=1; fi
    ov_waiting=0
    ov_clock
    ov_flushed=$ov_now
    return "$ov_bad"
}

# Undo a whole layer; operations of these gates stay as they are.
ov_remove_layer() { # [GATE...] -> ov_bad
    rm -f -- "$ov_home/receipt.json"
    ov_undo_from 0 "$@"
    if [ "$ov_failed" = 0 ]; then
        rm -rf -- "$ov_home"
        ov_sync "$ov_base"
        ov_event removed "$ov_layer"
    else
        ov_bad=1
    fi
}

# Drop the record; what was done stays.
ov_forget() {
    rm -rf -- "$ov_home"
    ov_event forgotten "$ov_layer"
}

# A folder for uploads that come before the script. Those of killed runs are old by now.
ov_stage() { # NAME
    (umask 066 && mkdir -p -- "$ov_base") && mkdir -p -- "$ov_base/$1"
    find "$ov_base/$1" -mindepth 1 -maxdepth 1 -mtime +0 -exec rm -rf -- {} +
    mkdir -- "$ov_base/$1/$ov_token"
    ov_event staging "$ov_base/$1/$ov_token"
}

# Look at each operation of the layer: is all as it was put?
ov_drift() {
    for ov_op in "$ov_ops"/*-*; do
        [ -e "$ov_op/saved" ] || continue
        ov_about
        ov_look=$(ov_text look)
        OV_SUMS=$(ov_text sums)
        STATE=$ov_op/state FILES=$ov_run/none
        if [ ! -e "$ov_op/done" ]; then
            ov_event begun "$ov_name"
        elif [ -z "$ov_look" ]; then
            ov_event unseen "$ov_name"
        else
            ov_looks_so
            if [ "$ov_status" = 0 ]; then ov_event so "$ov_name"; else ov_event differs "$ov_name"; fi
        fi
    done
}

# What the record says, for the host.
ov_installed() {
    for ov_home in "$ov_base"/layers/*; do
        [ -d "$ov_home" ] || continue
        ov_layer=${ov_home##*/}
        read -r ov_receipt 2>/dev/null <"$ov_home/receipt.json" || ov_receipt=
        ov_event record "$ov_layer $ov_receipt"
        for ov_op in "$ov_home"/operations/*-*; do
            [ -e "$ov_op/saved" ] || continue
            ov_about
            ov_state=begun
            if [ -e "$ov_op/kept" ]; then
                ov_state=kept
            elif [ -e "$ov_op/done" ]; then
                ov_state="done"
            fi
            ov_event recorded "$ov_state $ov_digest $ov_name"
        done
    done
}

# While an image is built: no record, and all of ours goes when the layer is done.
ov_start_in_image() {
    trap 'rm -rf -- "$ov_base"' EXIT
    mkdir -p -- "$ov_run"
    chmod 0711 -- "$ov_base" "$ov_run"
}

# One operation: ov_name, ov_user, OV_SUMS, ov_do.
ov_in_image() {
    ov_number=$((ov_number + 1))
    FILES=$ov_run/$ov_number STATE=$ov_run/state
    rm -rf -- "$STATE"
    mkdir -- "$STATE"
    (ov_give "$ov_user" "$STATE")
    ov_event doing "$ov_name"
    if [ -n "$OV_SUMS" ]; then ov_files; fi
    ov_fragment "$ov_do" "$ov_user"
    ov_status=$?
    if [ "$ov_status" != 0 ]; then
        ov_event failed "do $ov_status $ov_name"
        exit 1
    fi
}
