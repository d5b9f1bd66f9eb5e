# shellcheck shell=sh
# Repositories of apk: a line of /etc/apk/repositories, and a key with the name that the repository's signature says.

ov_apk_repo_save() { # KEY-PATH (empty: none)
    pm_ready
    if [ -n "$1" ]; then ov_keep "$1"; fi
}

ov_apk_repo_do() { # LINE KEY-PATH
    pm_ready
    if [ -n "$2" ]; then ov_install "$FILES/key" "$2" 0644; fi
    ov_repo_line /etc/apk/repositories "$1"
    if ! ov_apk update; then
        ov_repo_unline # a repository that does not work would be in the way of everything else
        rm -f "$STATE/lines"
        ov_restore
        ov_fail "the repository $1 cannot be used"
    fi
    ov_repo_want "line $1" "${2:+file $2}"
}

ov_apk_repo_look() { # LINE KEY-PATH
    [ -e "$STATE/wants" ] && grep -Fqx -e "$1" /etc/apk/repositories && { [ -z "$2" ] || ov_same "$FILES/key" "$2" 0644; }
}

ov_apk_repo_undo() {
    ov_repo_undo
    apk --quiet update >/dev/null 2>&1 || : # the lists of what is no longer there go with it
}
