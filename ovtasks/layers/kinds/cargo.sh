# shellcheck shell=sh disable=SC2154 # the fragment sets ov_home, ov_crate and ov_locked
# A crate's programs in $ov_home/.cargo. In $STATE: programs (their names, after do), new (no record of crates was there
# before), build.

ov_cargo_ready() { # -> ov_cargo
    ov_cargo=
    for ov_one in "$(command -v cargo || :)" "$ov_home/.cargo/bin/cargo" /usr/local/cargo/bin/cargo; do
        if [ -z "$ov_cargo" ] && [ -n "$ov_one" ] && [ -x "$ov_one" ]; then ov_cargo=$ov_one; fi
    done
    export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never
}

# The programs of the crate, a name a line.
ov_cargo_programs() {
    "$ov_cargo" install --list --root "$ov_home/.cargo" |
        awk -v crate="$ov_crate" '/^[^ ]/ { ours = $1 == crate; next } ours { print $1 }'
}

ov_cargo_look() {
    [ -s "$STATE/programs" ] || return 1
    while read -r ov_one; do
        [ -x "$ov_home/.cargo/bin/$ov_one" ] || return 1
    done <"$STATE/programs"
}

ov_cargo_save() {
    ov_keep "$ov_home/.cargo" "$ov_home/.cargo/bin"
    if [ ! -e "$ov_home/.cargo/.crates.toml" ]; then : >"$STATE/new"; fi
}

ov_cargo_do() {
    ov_cargo_ready
    [ -n "$ov_cargo" ] ||
        ov_fail "there is no cargo: the layer needs one before it that brings it; add that to requires (rust)"
    ov_cargo_install
    ov_cargo_programs >"$STATE/found"
    [ -s "$STATE/found" ] || ov_fail "$ov_crate has no programs"
    mv -- "$STATE/found" "$STATE/programs"
    rm -rf -- "$STATE/build"
}

# shellcheck disable=SC2086 # one word or none
ov_cargo_install() {
    "$ov_cargo" install --path "$FILES/crate" --root "$ov_home/.cargo" --target-dir "$STATE/build" --force ${ov_locked-}
}

# Without cargo the programs go, and its record of crates stays as it is.
ov_cargo_undo() {
    ov_cargo_ready
    rm -rf -- "$STATE/build"
    if [ -n "$ov_cargo" ]; then
        if [ -n "$(ov_cargo_programs)" ]; then "$ov_cargo" uninstall --root "$ov_home/.cargo" "$ov_crate"; fi
        if [ -e "$STATE/new" ] && [ -z "$("$ov_cargo" install --list --root "$ov_home/.cargo")" ]; then
            rm -f -- "$ov_home/.cargo/.crates.toml" "$ov_home/.cargo/.crates2.json"
        fi
    elif [ -e "$STATE/programs" ]; then
        while read -r ov_one; do rm -f -- "$ov_home/.cargo/bin/$ov_one"; done <"$STATE/programs"
    fi
    ov_restore
}
