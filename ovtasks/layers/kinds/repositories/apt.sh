# shellcheck shell=sh
# Repositories of apt: a source in the format of sources.list(5) "DEB822", with a key of its own.

ov_apt_repo_save() { # PATH...
    pm_ready
    ov_keep "$@"
    ov_apt_releases >"$STATE/lists.before"
}

# What the names of the downloaded lists of each repository begin with.
ov_apt_releases() {
    find /var/lib/apt/lists -maxdepth 1 -name '*_*Release' 2>/dev/null | sed -n 's/_\(In\)\{0,1\}Release$/_/p' | sort -u
}

# Its lists alone are downloaded, so that a wrong address or key is told here and the other repositories do not matter.
ov_apt_repo_do() { # NAME KEY-PATH (empty: none)
    pm_ready
    ov_source=/etc/apt/sources.list.d/$1.sources
    if [ -n "$2" ]; then ov_install "$FILES/key" "$2" 0644; fi
    ov_install "$FILES/source" "$ov_source" 0644
    if ! ov_apt update -o "Dir::Etc::SourceList=$ov_source" -o Dir::Etc::SourceParts=/dev/null \
        -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any || ! apt-get indextargets >/dev/null; then
        ov_restore # a source that does not work would be in the way of everything else
        find /var/lib/apt/lists/partial -type f -cnewer "$STATE/lists.before" -exec rm -f {} + 2>/dev/null || :
        ov_fail "the repository $1 cannot be used"
    fi
    ov_apt_releases | grep -Fvx -f "$STATE/lists.before" >>"$STATE/lists" || :
    ov_repo_want "file $ov_source" "${2:+file $2}"
}

ov_apt_repo_look() { # NAME KEY-PATH
    [ -e "$STATE/wants" ] && ov_same "$FILES/source" "/etc/apt/sources.list.d/$1.sources" 0644 &&
        { [ -z "$2" ] || ov_same "$FILES/key" "$2" 0644; }
}

ov_apt_repo_image() { # NAME KEY-PATH
    if [ -n "$2" ]; then ov_install "$FILES/key" "$2" 0644; fi
    ov_install "$FILES/source" "/etc/apt/sources.list.d/$1.sources" 0644
}
