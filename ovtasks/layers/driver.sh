# shellcheck shell=sh disable=SC2154,SC2034 # the script sets and reads variables
# What a deployment's script is made of, besides prelude.sh: the record in the guest, and the steps of an operation.
#
# The record, below the base folder (root's: /var/lib/ovtasks; without root: ~/.local/state/ovtasks):
#   lock, run/                    one deployment at a time, and what it needs meanwhile
#   uploads/<token>/              big uploads on their way
#   preludes/<digest>.sh          the functions that a kept undo was written for
#   layers/<layer>/receipt.json   as on the host; only there while the layer is whole
#   layers/<layer>/operations/<NNN>-<slug>/
#       name kind user gate digest sums look undo caveat prelude    one text each
#       state/    what save kept; the folder of an operation gets its name when save has ended
#       kept      it was so already: nothing was done, nothing is to be undone
#       done      do has ended
# The script sets ov_token (begins each line for the host), ov_prelude and ov_prelude_digest; then it calls ov_begin.

ov_event() { # WORDS...
    printf '%s %s\n' "$ov_token" "$*" >&3
}

ov_begin() { # [BASE]
    exec 3>&1 2>&1
    umask 022
    OV_UID=$(id -u)
    OV_GID=$(id -g)
    if [ -n "${1-}" ]; then
        ov_base=$1
    elif [ "$OV_UID" = 0 ]; then
        ov_base=/var/lib/ovtasks
        HOME=/root
    else
        ov_base=${XDG_STATE_HOME:-$HOME/.local/state}/ovtasks
    fi
    USER=$(id -un 2>/dev/null) || USER=$OV_UID
    LOGNAME=$USER
    PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
    export OV_UID OV_GID HOME USER LOGNAME PATH
    ov_run=$ov_base/run
    ov_bad=0
}

# One deployment at a time. A lock ends with its holder, so a killed one is in nobody's way.
ov_lock() {
    mkdir -p -- "$ov_base/layers" "$ov_base/preludes" || exit 1
    chmod 0711 -- "$ov_base" "$ov_base/layers"
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
    trap 'exit 130' HUP INT TERM
    rm -rf -- "$ov_run"
    mkdir -m 0711 -- "$ov_run" || exit 1
}

# Without flock: a folder with who holds it. The boot's id tells an old holder from a new process of its number.
ov_lock_folder() {
    ov_told=
    read -r ov_boot </proc/sys/kernel/random/boot_id
    until mkdir -- "$ov_base/held" 2>/dev/null; do
        read -r ov_holder 2>/dev/null <"$ov_base/held/by" || ov_holder=
        if [ -n "$ov_holder" ] && { [ "${ov_holder#* }" != "$ov_boot" ] || [ ! -d "/proc/${ov_holder%% *}" ]; }; then
            rm -rf -- "$ov_base/held"
        else
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
    rm -rf -- "$ov_run" "$ov_base/held"
    if [ -n "${ov_uploads-}" ]; then rm -rf -- "$ov_uploads"; fi
}

# Run one fragment in a process of its own, as its account. It sees STATE, FILES and OV_SUMS, and no open file of ours.
ov_fragment() { # TEXT USER
    if [ "$2" = "$USER" ]; then
        (
            exec 3>&- 9>&- </dev/null
            export STATE FILES OV_SUMS
            cd "$HOME" 2>/dev/null || cd /
            set -eu
            eval "$1"
        )
        return
    fi
    # shellcheck disable=SC2016 # the other shell expands it
    (umask 077 && printf '%s\n' 'set -eu; cd "$HOME" 2>/dev/null || cd /; export STATE="$1" FILES="$2"; . "$3"' \
        "$1" >"$ov_run/fragment")
    if [ ! -e "$ov_run/prelude.sh" ]; then printf '%s\n' "$ov_prelude" >"$ov_run/prelude.sh"; fi
    (
        exec 3>&- 9>&- </dev/null
        set -eu
        export OV_SUMS
        ov_give "$2" "$ov_run/fragment"
        ov_as "$2" sh "$ov_run/fragment" "$STATE" "$FILES" "$ov_run/prelude.sh"
    )
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

# The layer is going to have the operations with these digests: undo what comes from the first difference on.
ov_prepare() { # DIGEST...
    ov_name="the record"
    mkdir -p -- "$ov_ops" || ov_stop record 1
    chmod 0711 -- "$ov_home" "$ov_ops"
    rm -rf -- "$ov_home/receipt.json" "$ov_home/new" "$ov_home/gone"
    ov_equal=0
    for ov_op in "$ov_ops"/*-*; do
        read -r ov_had 2>/dev/null <"$ov_op/digest" || ov_had=
        ov_id=${ov_op##*/}
        if [ -z "$ov_had" ] || [ "$ov_had" != "${1-}" ] || [ "${ov_id%%-*}" -ne $((ov_equal + 1)) ]; then break; fi
        ov_equal=$((ov_equal + 1))
        shift
    done
    ov_undo_from "$ov_equal"
    if [ "$ov_failed" != 0 ]; then exit 1; fi
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
            ov_undo_one
        fi
    done
}

ov_undo_one() { # ov_op, ov_gates
    IFS= read -r ov_name <"$ov_op/name" || ov_name=${ov_op##*/}
    IFS= read -r ov_gate <"$ov_op/gate" || ov_gate=
    IFS= read -r ov_user <"$ov_op/user" || ov_user=root
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
    rm -rf -- "$ov_home/gone"
    mv -- "$ov_op" "$ov_home/gone"
    rm -rf -- "$ov_home/gone"
    ov_event "$ov_result" "$ov_name"
}

ov_undo_text() {
    STATE=$ov_op/state FILES=$ov_run/none
    OV_SUMS=$(cat -- "$ov_op/sums")
    IFS= read -r ov_wants <"$ov_op/prelude"
    if [ "$ov_wants" != "$ov_prelude_digest" ] && [ -e "$ov_base/preludes/$ov_wants.sh" ]; then
        ov_text=". '$ov_base/preludes/$ov_wants.sh'
$(cat -- "$ov_op/undo")"
    else
        ov_text=$(cat -- "$ov_op/undo")
    fi
    ov_fragment "$ov_text" "$ov_user"
}

# One operation: ov_id (NNN-slug), ov_name, ov_kind, ov_user, ov_gate, ov_digest, OV_SUMS, ov_caveat, and the texts
# ov_look, ov_save, ov_do, ov_undo.
ov_operation() {
    ov_op=$ov_ops/$ov_id
    FILES=$ov_run/files
    STATE=$ov_op/state
    if [ -e "$ov_op/done" ] && [ -z "$ov_look" ]; then
        ov_event same "$ov_name"
        return
    fi
    ov_looks_so
    if [ "$ov_status" = 0 ]; then
        if [ -e "$ov_op/done" ]; then
            ov_event same "$ov_name"
        elif [ -d "$ov_op" ]; then # a killed run did it
            : >"$ov_op/done" || ov_stop record 1
            ov_event "done" "$ov_name"
        else
            ov_record
            { : >"$ov_home/new/kept" && : >"$ov_home/new/done" && mv -- "$ov_home/new" "$ov_op"; } || ov_stop record 1
            ov_event kept "$ov_name"
        fi
        return
    fi
    if [ -e "$ov_op/kept" ]; then rm -rf -- "$ov_op"; fi # no longer so: what is there now is the prior state
    ov_event doing "$ov_name"
    if [ -n "$OV_SUMS" ]; then ov_files; fi
    if [ ! -d "$ov_op" ]; then ov_save_state; fi
    if [ -e "$ov_op/done" ]; then rm -f -- "$ov_op/done"; fi
    ov_fragment "$ov_do" "$ov_user"
    ov_status=$?
    if [ "$ov_status" != 0 ]; then ov_stop "do" "$ov_status"; fi
    : >"$ov_op/done" || ov_stop record 1
    ov_event "done" "$ov_name"
}

# The operation's uploads: ov_bring writes them into FILES.
ov_files() {
    rm -rf -- "$FILES"
    mkdir -m 0700 -- "$FILES"
    (set -e && ov_bring)
    ov_status=$?
    if [ "$ov_status" != 0 ]; then ov_stop upload "$ov_status"; fi
    (ov_give "$ov_user" "$FILES") || ov_stop upload 1
}

ov_stop() { # PHASE STATUS
    ov_event failed "$1 $2 $ov_name"
    exit 1
}

# A fragment runs below no condition (if, &&, ||): there the shell ignores its set -e.
ov_looks_so() { # -> ov_status
    ov_status=1
    if [ -n "$ov_look" ]; then
        ov_fragment "$ov_look" "$ov_user" >/dev/null 2>&1
        ov_status=$?
    fi
}

ov_save_state() {
    ov_record
    mkdir -m 0700 -- "$ov_home/new/state" || ov_stop record 1
    (ov_give "$ov_user" "$ov_home/new/state") || ov_stop save 1
    STATE=$ov_home/new/state
    ov_fragment "$ov_save" "$ov_user"
    ov_status=$?
    if [ "$ov_status" != 0 ]; then ov_stop save "$ov_status"; fi
    STATE=$ov_op/state
    { ov_sync "$ov_home/new" && mv -- "$ov_home/new" "$ov_op"; } || ov_stop record 1
}

# What undo will need, in a folder that is not yet the operation's.
ov_record() {
    if [ -e "$ov_home/new" ]; then rm -rf -- "$ov_home/new"; fi
    mkdir -m 0711 -- "$ov_home/new"
    if [ ! -e "$ov_base/preludes/$ov_prelude_digest.sh" ]; then
        printf '%s\n' "$ov_prelude" >"$ov_base/preludes/.new" || ov_stop record 1
        mv -- "$ov_base/preludes/.new" "$ov_base/preludes/$ov_prelude_digest.sh"
    fi
    (
        set -e
        umask 077
        cd "$ov_home/new"
        printf '%s\n' "$ov_name" >name
        printf '%s\n' "$ov_kind" >kind
        printf '%s\n' "$ov_user" >user
        printf '%s\n' "$ov_gate" >gate
        printf '%s\n' "$ov_digest" >digest
        printf '%s\n' "$ov_prelude_digest" >prelude
        printf '%s\n' "$OV_SUMS" >sums
        printf '%s\n' "$ov_caveat" >caveat
        printf '%s' "$ov_look" >look
        printf '%s' "$ov_undo" >undo
    )
    ov_status=$?
    if [ "$ov_status" != 0 ]; then ov_stop record "$ov_status"; fi
}

# The layer is whole.
ov_finish() { # RECEIPT
    ov_name="the receipt"
    (umask 077 && printf '%s\n' "$1" >"$ov_home/receipt.new") || ov_stop record 1
    ov_sync "$ov_home/receipt.new"
    mv -- "$ov_home/receipt.new" "$ov_home/receipt.json" || ov_stop record 1
    ov_event whole "$ov_layer"
}

# Undo a whole layer; operations of these gates stay as they are.
ov_remove_layer() { # [GATE...] -> ov_bad
    rm -rf -- "$ov_home/receipt.json" "$ov_home/new" "$ov_home/gone"
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
    mkdir -p -- "$ov_base/$1"
    chmod 0700 -- "$ov_base/$1"
    find "$ov_base/$1" -mindepth 1 -maxdepth 1 -mtime +0 -exec rm -rf -- {} +
    mkdir -- "$ov_base/$1/$ov_token"
    ov_event staging "$ov_base/$1/$ov_token"
}

# Look at each operation of the layer: is all as it was put?
ov_drift() {
    for ov_op in "$ov_ops"/*-*; do
        [ -e "$ov_op/digest" ] || continue
        IFS= read -r ov_name <"$ov_op/name"
        IFS= read -r ov_user <"$ov_op/user"
        ov_look=$(cat -- "$ov_op/look")
        OV_SUMS=$(cat -- "$ov_op/sums")
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
            [ -e "$ov_op/digest" ] || continue
            read -r ov_digest <"$ov_op/digest"
            IFS= read -r ov_name <"$ov_op/name"
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
    FILES=$ov_run/files STATE=$ov_run/state
    rm -rf -- "$STATE"
    mkdir -m 0700 -- "$STATE"
    ov_give "$ov_user" "$STATE"
    ov_event doing "$ov_name"
    if [ -n "$OV_SUMS" ]; then ov_files; fi
    ov_fragment "$ov_do" "$ov_user"
    ov_status=$?
    if [ "$ov_status" != 0 ]; then
        ov_event failed "do $ov_status $ov_name"
        exit 1
    fi
}
