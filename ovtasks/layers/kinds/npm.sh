# shellcheck shell=sh disable=SC2154 # the fragment sets ov_prefix
# Global packages of npm, in the folder $ov_prefix of the account that runs this. In $STATE:
#
#   before      name and version of those packages that were there before
#   installed   name and version of each after do
#   cache       npm's cache, only meanwhile

ov_npm_ready() {
    command -v npm >/dev/null ||
        ov_fail "there is no npm: the layer needs one before it that brings it; add that to requires (nodejs)"
    unset npm_config_prefix npm_config_cache NPM_CONFIG_CACHE
    export NPM_CONFIG_PREFIX="$ov_prefix" npm_config_cache="$STATE/cache" npm_config_update_notifier=false \
        NODE_DISABLE_COMPILE_CACHE=1 \
        npm_config_fund=false npm_config_audit=false npm_config_loglevel=error
    # What a killed npm left on its way is called .name-xxxxxxxx and lies beside name.
    find "$ov_prefix/lib/node_modules" -mindepth 1 -maxdepth 2 -name '.*-????????' -prune -exec rm -rf -- {} + \
        2>/dev/null || :
}

# The version of a package that is there; nothing if it is not.
ov_npm_version() { # NAME
    if [ -e "$ov_prefix/lib/node_modules/$1/package.json" ]; then
        tr ',' '\n' <"$ov_prefix/lib/node_modules/$1/package.json" |
            sed -n 's/^[[:space:]{]*"version"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' | head -n 1
    fi
}

ov_npm_versions() { # NAME...
    for ov_name; do
        ov_found=$(ov_npm_version "$ov_name")
        if [ -n "$ov_found" ]; then printf '%s %s\n' "$ov_name" "$ov_found"; fi
    done
}

ov_npm_look() { # NAME...
    [ -e "$STATE/installed" ] && [ "$(ov_npm_versions "$@")" = "$(cat -- "$STATE/installed")" ]
}

ov_npm_save() { # NAME...
    ov_keep "$ov_prefix" "$ov_prefix/bin" "$ov_prefix/lib" "$ov_prefix/lib/node_modules"
    ov_npm_versions "$@" >"$STATE/before"
}

# ov_npm_install is the fragment's: it installs all of them.
ov_npm_do() { # NAME...
    ov_npm_ready
    rm -f -- "$STATE/installed"
    ov_npm_install
    rm -rf -- "$STATE/cache"
    ov_npm_versions "$@" >"$STATE/new"
    mv -- "$STATE/new" "$STATE/installed"
}

ov_npm_undo() { # NAME...
    ov_npm_ready
    for ov_name; do
        ov_found=$(ov_npm_version "$ov_name")
        ov_had=$(sed -n "s|^$ov_name ||p" "$STATE/before")
        if [ -z "$ov_had" ]; then
            if [ -n "$ov_found" ]; then npm uninstall --global -- "$ov_name"; fi
        elif [ "$ov_found" != "$ov_had" ]; then
            npm install --global -- "$ov_name@$ov_had"
        fi
    done
    rm -rf -- "$STATE/cache"
    find "$ov_prefix/lib/node_modules" -mindepth 1 -maxdepth 1 -name '@*' -type d -exec rmdir -- {} + 2>/dev/null || :
    ov_restore
}
