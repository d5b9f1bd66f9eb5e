# shellcheck shell=sh
# apt and dpkg: see common.sh.

ov_apt() { # WORDS...
    env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none LC_ALL=C.UTF-8 \
        apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        -o APT::Get::AutomaticRemove=false "$@"
}

pm_ready() {
    ov_pkg_wait /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock
    if ov_apt_half_done; then
        ov_say "finishing what was left half done: dpkg --configure -a"
        # What still is broken afterwards need not be in the way; if it is, the next command says so.
        DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confdef --force-confold || :
        if ov_apt_half_done; then ov_apt -f --no-remove install || :; fi
    fi
}

ov_apt_half_done() {
    [ -n "$(find /var/lib/dpkg/updates -type f 2>/dev/null)" ] ||
        dpkg-query -W -f '${db:Status-Status} ${db:Status-Eflag}\n' 2>/dev/null |
        grep -Eqv '^(installed|config-files|not-installed) ok$'
}

pm_list() {
    dpkg-query -W -f '${binary:Package}\t${Version}\t${db:Status-Status}\n' | awk -F '\t' -v OFS='\t' '
        $3 == "not-installed" { next }
        { $3 = ($3 ~ /^(installed|triggers-.*)$/) ? "installed" : ($3 == "config-files") ? "config" : "broken"; print }'
}

# apt's list of marks, in dpkg's names of the packages.
pm_autos() {
    dpkg-query -W -f '${binary:Package}\t${Package}:${Architecture}\n' |
        awk -F '\t' -v native="$(dpkg --print-architecture)" -v marks=/var/lib/apt/extended_states '
        BEGIN {
            while ((getline line <marks) > 0) {
                split(line, field, ": ")
                if (field[1] == "Package") name = field[2]
                if (field[1] == "Architecture") arch = field[2]
                if (line == "Auto-Installed: 1") auto[name ":" arch]
            }
        }
        { sub(/:all$/, ":" native, $2) }
        $2 in auto { print $1 }'
}

pm_find() { # NAME[:ARCH][=VERSION][/SUITE]...
    {
        printf '%s\n' "$@"
        echo
        dpkg-query -W -f '${Package}\t${Architecture}\t${Version}\t${db:Status-Status}\t${binary:Package}\t${Provides}\n'
    } | awk -F '\t' -v OFS='\t' -v native="$(dpkg --print-architecture)" '
        function is(key, package, name, count, i) {
            count = split(asked[key], name, " ")
            for (i = 1; i <= count; i++) print name[i], package
        }
        /^$/ { listed = 1; next }
        !listed { key = $0; sub(/\/.*/, "", key); asked[key] = asked[key] " " $0; next }
        $4 != "installed" && $4 !~ /^triggers-/ { next }
        {
            arch = ($2 == "all") ? native : $2
            is($1 ":" arch, $5)
            is($1 ":" arch "=" $3, $5)
            count = split($6, also, /, */)
            for (i = 1; i <= count; i++) { sub(/[ (].*/, "", also[i]); is(also[i] ":" arch, $5) }
        }
        arch == native {
            is($1, $5)
            is($1 "=" $3, $5)
            for (i = 1; i <= count; i++) is(also[i], $5)
        }' | sort -u
}

pm_install() { # NAME...
    ov_fresh=
    ov_prefer=
    if [ -n "${ov_exclude-}" ]; then
        ov_prefer=$(mktemp)
        cat /etc/apt/preferences >"$ov_prefer" 2>/dev/null || :
        for ov_name in $ov_exclude; do
            printf '\nPackage: %s\nPin: release *\nPin-Priority: -1\n' "$ov_name" >>"$ov_prefer"
        done
        chmod 0644 "$ov_prefer"
    fi
    # Lists are downloaded only if those that are there do not do: none yet, or none with this package.
    if ! ov_apt_install -s "$@" >/dev/null 2>&1; then ov_apt_update; fi
    if ov_apt_install "$@" || ov_apt_again "$@"; then
        ov_done=0
    else
        ov_done=1
        ov_apt_hint "$@"
    fi
    if [ -n "$ov_prefer" ]; then rm -f "$ov_prefer"; fi
    return "$ov_done"
}

# Nothing that is there is removed unless the layer's options say so: --remove.
ov_apt_install() { # [-s] NAME...
    ov_dry=
    if [ "$1" = -s ]; then
        ov_dry=-s
        shift
    fi
    # shellcheck disable=SC2086 # options are words
    ov_apt ${ov_prefer:+-o "Dir::Etc::Preferences=$ov_prefer"} $ov_dry --no-remove ${ov_options-} install -- "$@"
}

ov_apt_update() {
    ov_fresh=yes
    ov_apt update || ov_say "some lists of packages could not be downloaded"
}

# Old lists name files that the mirror no longer has. A package that is unpacked and fails has another reason.
ov_apt_again() { # NAME...
    if [ -n "$ov_fresh" ] || ov_apt_half_done; then return 1; fi
    ov_apt_update
    ov_apt_install "$@"
}

ov_apt_hint() { # NAME...
    for ov_name; do
        ov_plain=${ov_name%%[=/]*}
        if ! apt-cache show -- "$ov_plain" >/dev/null 2>&1 &&
            [ -z "$(apt-cache showpkg -- "$ov_plain" 2>/dev/null | sed -n '/^Reverse Provides/,$p' | sed 1d)" ]; then
            ov_say "no repository of this system has a package $ov_plain" >&2
        fi
    done
}

pm_mark() { # manual|auto PACKAGE...
    ov_mark=$1
    shift
    apt-mark -q "$ov_mark" -- "$@" >/dev/null
}

pm_removable() ( # PACKAGE...
    while [ $# -gt 0 ]; do
        said=$(LC_ALL=C dpkg --no-act --abort-after=100000 --force-remove-reinstreq --purge "$@" 2>&1 >/dev/null) && break
        blocked=$(printf '%s\n' "$said" | sed -n 's/^dpkg: error processing package \([^ ]*\) .*/\1/p')
        if [ -z "$blocked" ]; then
            printf '%s\n' "$said" >&2
            exit 1
        fi
        # shellcheck disable=SC2046 # names have no blanks
        set -- $(printf '%s\n' "$@" | grep -Fvx "$blocked")
    done
    [ $# -eq 0 ] || printf '%s\n' "$@"
)

pm_settings() { # PACKAGE...
    ov_apt remove -- "$@"
}

# A package that was killed while it was unpacked is no longer apt's business if its archive is gone.
pm_remove() { # PACKAGE...
    ov_apt purge -- "$@" || dpkg --force-remove-reinstreq --purge "$@"
}

pm_restore() { # PACKAGE VERSION...
    ov_list=
    while [ $# -gt 0 ]; do
        if ov_apt -s --no-remove --allow-downgrades install "$1=$2" >/dev/null 2>&1; then
            ov_list="$ov_list $1=$2"
        else
            ov_say "$1 $2 is no longer to be had: it stays as it is"
        fi
        shift 2
    done
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$ov_list" ] || ov_apt --no-remove --allow-downgrades install $ov_list
}

pm_clean() {
    apt-get clean
    rm -rf /var/lib/apt/lists/*
}
