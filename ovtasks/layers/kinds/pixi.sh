# shellcheck shell=sh disable=SC2154 # the fragment sets ov_home, ov_layer, ov_files and ov_order
# Environments of pixi. Each layer has a workspace of its own in $ov_home/.local/share/ovtasks/pixi/<layer>:
#
#   given/                   the manifest, and the lock file, as the layer has them
#   pixi.toml, pixi.lock     what pixi works with
#   .pixi/envs/default/      the environment
#   number                   which workspace came before which
#
# ~/.pixi/envs/default shows all of them: its bin has the programs of every layer (of two with one name the later
# layer's), the rest is the last layer's. It is made anew whenever a workspace comes or goes.

ov_pixi_places() { # -> ov_work, ov_default
    ov_all=$ov_home/.local/share/ovtasks/pixi
    ov_work=$ov_all/$ov_layer
    ov_default=$ov_home/.pixi/envs/default
}

ov_pixi_ready() { # -> ov_pixi
    ov_pixi=
    for ov_one in "$(command -v pixi || :)" /usr/local/bin/pixi "$ov_home/.pixi/bin/pixi"; do
        if [ -z "$ov_pixi" ] && [ -n "$ov_one" ] && [ -x "$ov_one" ]; then ov_pixi=$ov_one; fi
    done
    [ -n "$ov_pixi" ] ||
        ov_fail "there is no pixi: the layer needs one before it that brings it; add that to requires (pixi)"
    # In the same file system as the environments: pixi then links the files instead of copying them.
    export PIXI_CACHE_DIR="$ov_work/.cache/pixi" RATTLER_CACHE_DIR="$ov_work/.cache/rattler" PIXI_COLOR=never \
        PIXI_NO_PROGRESS=true
    unset PIXI_PROJECT_MANIFEST PIXI_ENVIRONMENT_NAME CONDA_PREFIX
}

ov_pixi_look() {
    ov_pixi_places
    for ov_file in $ov_files; do
        ov_same "$FILES/$ov_file" "$ov_work/given/$ov_file" 0644 || return 1
    done
    [ -e "$ov_work/number" ] && [ -d "$ov_work/.pixi/envs/default/conda-meta" ] && [ -e "$ov_default/.ovtasks" ]
}

ov_pixi_save() {
    ov_pixi_places
    if [ -e "$ov_default" ] && [ ! -e "$ov_default/.ovtasks" ]; then
        ov_fail "$ov_default is there already, and not from a layer: move it away"
    fi
    ov_keep "$ov_home/.pixi" "$ov_home/.pixi/envs" "$ov_home/.local" "$ov_home/.local/share" \
        "$ov_home/.local/share/ovtasks" "$ov_all"
}

ov_pixi_do() {
    ov_pixi_places
    ov_pixi_ready
    for ov_file in $ov_files; do ov_install "$FILES/$ov_file" "$ov_work/given/$ov_file" 0644; done
    rm -f -- "$ov_work/pixi.toml" "$ov_work/pixi.lock" "$ov_work/pyproject.toml" "$ov_work/environment.yml"
    for ov_file in $ov_files; do
        if [ "$ov_file" != build.sh ]; then cp -- "$ov_work/given/$ov_file" "$ov_work/$ov_file"; fi
    done
    # The user's own settings may have environments somewhere else.
    mkdir -p -- "$ov_work/.pixi"
    echo 'detached-environments = false' >"$ov_work/.pixi/config.toml"
    ov_manifest=$ov_work/pixi.toml
    ov_frozen=
    if [ -e "$ov_work/pixi.lock" ]; then ov_frozen=--frozen; fi
    if [ -e "$ov_work/environment.yml" ]; then
        "$ov_pixi" init --import "$ov_work/environment.yml" "$ov_work"
    elif [ -e "$ov_work/pyproject.toml" ]; then
        ov_manifest=$ov_work/pyproject.toml
    elif [ -z "$ov_frozen" ]; then
        ov_pixi_glibc "$ov_manifest"
    fi
    # shellcheck disable=SC2086 # one word or none
    "$ov_pixi" install --manifest-path "$ov_manifest" $ov_frozen
    rm -rf -- "$ov_work/.cache"
    if [ ! -e "$ov_work/number" ]; then
        ov_last=$(cat -- "$ov_all"/*/number 2>/dev/null | sort -n | tail -n 1)
        echo "$((${ov_last:-0} + 1))" >"$ov_work/number"
    fi
    ov_pixi_show
    if [ -e "$ov_work/given/build.sh" ]; then
        (
            cd -- "$ov_home" || exit 1
            PATH=$ov_work/.pixi/envs/default/bin:$PATH
            ov_shell "$ov_work/given/build.sh"
        )
        ov_pixi_show
    fi
}

# Wheels may need a newer libc than pixi assumes. Say which one there is, unless the manifest does.
ov_pixi_glibc() { # MANIFEST
    ov_libc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')
    case $ov_libc in
    2.2[89] | 2.[3-9][0-9])
        grep -q system-requirements "$1" ||
            printf '\n[system-requirements]\nlibc = { family = "glibc", version = "%s" }\n' "$ov_libc" >>"$1"
        ;;
    esac
}

# Make ~/.pixi/envs/default from the workspaces that there are.
ov_pixi_show() {
    ov_new=$ov_home/.pixi/envs/.default.ovtasks
    rm -rf -- "$ov_new" "$ov_new.old"
    grep -sH . "$ov_all"/*/number | sed 's|^\(.*\)/number:\([0-9]*\)$|\2 \1|' | sort -n | while read -r _ ov_one; do
        ov_env=$ov_one/.pixi/envs/default
        [ -d "$ov_env/bin" ] || continue
        mkdir -p -- "$ov_new/bin"
        ln -sf -- "$ov_env"/bin/* "$ov_new/bin/"
        for ov_entry in "$ov_env"/*; do
            if [ "${ov_entry##*/}" != bin ]; then ln -sfn -- "$ov_entry" "$ov_new/${ov_entry##*/}"; fi
        done
        : >"$ov_new/.ovtasks"
    done
    if [ -e "$ov_default" ]; then mv -- "$ov_default" "$ov_new.old"; fi
    if [ -e "$ov_new" ]; then mv -- "$ov_new" "$ov_default"; fi
    rm -rf -- "$ov_new.old"
}

ov_pixi_undo() {
    ov_pixi_places
    rm -rf -- "$ov_work"
    ov_pixi_show
    ov_restore
}
