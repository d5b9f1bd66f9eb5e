# shellcheck shell=sh
# Repositories of pacman: a file each, which pacman.conf includes by one line for all of them. The lists of a new one
# are downloaded when a package is wanted that nobody else has, see pm_install.

ov_pac_line='Include = /etc/pacman.d/ovtasks/*.conf'

ov_pac_repo_save() { # NAME
    pm_ready
    ov_keep "/etc/pacman.d/ovtasks/$1.conf"
}

ov_pac_repo_do() { # NAME KEY (yes, or empty)
    pm_ready
    if [ -n "$2" ]; then ov_pac_trust; fi
    ov_install "$FILES/source" "/etc/pacman.d/ovtasks/$1.conf" 0644
    ov_repo_line /etc/pacman.conf "$ov_pac_line"
    printf '%s\n' "/var/lib/pacman/sync/$1.db" "/var/lib/pacman/sync/$1.db.sig" "/var/lib/pacman/sync/$1.files" >"$STATE/lists"
    ov_repo_want "file /etc/pacman.d/ovtasks/$1.conf" "line $ov_pac_line"
}

# The key signs packages from now on, as pacman's own keys do.
ov_pac_trust() {
    ov_known=$(pacman-key --list-keys --with-colons 2>/dev/null | sed -n 's/^fpr:*\([0-9A-F]*\):$/\1/p')
    for ov_print in $(gpg --show-keys --with-colons "$FILES/key" | awk -F : '/^pub/ { own = 1 } /^fpr/ && own { print $10; own = 0 }'); do
        case $ov_known in
        *"$ov_print"*) ;;
        *) printf '%s\n' "$ov_print" >>"$STATE/pacman-keys" ;;
        esac
        pacman-key --add "$FILES/key"
        pacman-key --lsign-key "$ov_print"
    done
}

ov_pac_repo_look() { # NAME
    [ -e "$STATE/wants" ] && ov_same "$FILES/source" "/etc/pacman.d/ovtasks/$1.conf" 0644 &&
        grep -Fqx -e "$ov_pac_line" /etc/pacman.conf
}

ov_pac_repo_undo() { # NAME
    if [ -z "$(ov_repo_others "file /etc/pacman.d/ovtasks/$1.conf")" ] && [ -e "$STATE/pacman-keys" ]; then
        while IFS= read -r ov_print; do
            pacman-key --delete "$ov_print" || :
        done <"$STATE/pacman-keys"
    fi
    ov_repo_undo
    rmdir /etc/pacman.d/ovtasks 2>/dev/null || : # another layer's repository may be there
}
