# shellcheck shell=sh
# What dnf and zypper have in common: the database of rpm. A package is NAME.ARCH; kernels and keys, of which several
# versions can be there at once, are NAME-VERSION-RELEASE.ARCH.

ov_rpm_format='| %{NAME} %{ARCH} %{VERSION}-%{RELEASE} %|EPOCH?{%{EPOCH}:}|\n'

# From lines as ov_rpm_format has them, among what rpm says besides: package, version with epoch.
ov_rpm_id() {
    awk -v OFS='\t' '
        $1 != "|" { next }
        $2 == "gpg-pubkey" { print $2 "-" $4, $4; next }
        $2 ~ /^kernel(-|$)/ { print $2 "-" $4 "." $3, $4; next }
        { print $2 "." $3, $5 $4 }'
}

pm_list() {
    rpm -qa --qf "$ov_rpm_format" | ov_rpm_id | sed 's/$/\tinstalled/'
}

# rpm knows names, names with versions, files and other things that packages provide. Groups are known by our own note.
pm_find() { # NAME...
    for ov_name; do
        case $ov_name in
        @*)
            if grep -Fqx -e "$ov_name" "$STATE/groups" 2>/dev/null; then printf '%s\t%s\n' "$ov_name" "$ov_name"; fi
            continue
            ;;
        esac
        {
            rpm -q --whatprovides --qf "$ov_rpm_format" -- "$ov_name" || rpm -q --qf "$ov_rpm_format" -- "$ov_name" || :
        } 2>/dev/null | ov_rpm_id | awk -F '\t' -v OFS='\t' -v name="$ov_name" -v machine="$(uname -m)" '
            machine == "x86_64" && $1 ~ /\.i[3-6]86$/ && name !~ /\.i[3-6]86$/ { next }
            { print name, $1 }' | sort -u
    done
}

pm_removable() ( # PACKAGE...
    [ $# -gt 0 ] || exit 0
    keys=$(printf '%s\n' "$@" | grep '^gpg-pubkey-' || :)
    set -f
    # shellcheck disable=SC2046 # names have no blanks
    set -- $(printf '%s\n' "$@" | grep -v -e '^gpg-pubkey-' -e '^@')
    while [ $# -gt 0 ]; do
        said=$(LC_ALL=C rpm -e --test -- "$@" 2>&1) && break
        needs=$(printf '%s\n' "$said" | sed -n 's/^[[:space:]]*\(.*\) is needed by (installed) .*/\1/p' | sort -u)
        kept=$(printf '%s\n' "$needs" | while IFS= read -r need; do
            rpm -q --whatprovides --qf "$ov_rpm_format" -- "$need" 2>/dev/null ||
                rpm -q --whatprovides --qf "$ov_rpm_format" -- "${need%% *}" 2>/dev/null || :
        done | ov_rpm_id | cut -f 1 | grep -Fx -e "$(printf '%s\n' "$@")" | sort -u)
        if [ -z "$kept" ]; then # rpm says why
            printf '%s\n' "$said" >&2
            set --
            break
        fi
        # shellcheck disable=SC2046
        set -- $(printf '%s\n' "$@" | grep -Fvx -e "$kept")
    done
    printf '%s\n' "$@" "$keys" | sed '/^$/d'
)

# Keys that came with packages go by rpm; no package manager calls them its own.
ov_rpm_keys() { # PACKAGE... -> ov_rest
    ov_rest=
    for ov_name; do
        case $ov_name in
        gpg-pubkey-*) ! rpm -q --quiet -- "$ov_name" || rpm -e --allmatches -- "$ov_name" ;;
        *) ov_rest="$ov_rest $ov_name" ;;
        esac
    done
}

# rpm leaves nothing of a package but files that its owner changed, as NAME.rpmsave.
pm_settings() { # PACKAGE...
    pm_remove "$@"
}
