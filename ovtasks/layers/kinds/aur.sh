# shellcheck shell=sh disable=SC2154 # the fragment sets ov_builder and may set ov_replaces and ov_options
# Packages of the AUR: the functions of pacman.sh, but for pm_install. An account without rights builds them, because
# makepkg runs what the recipes say. What a recipe needs and no repository has comes from the AUR, too.
#
# The shell ignores set -e in pm_install, whose caller asks for its status: each step says itself when it fails.

ov_aur_site=https://aur.archlinux.org
ov_aur_work=/var/tmp/ovtasks-aur

pm_install() { # NAME...
    command -v makepkg >/dev/null || ov_fail "there is no makepkg: pacman brings it, and this system has another one"
    rm -rf -- "$ov_aur_work"
    mkdir -m 0711 -- "$ov_aur_work" || return 1 # somebody else may have made it: everybody can write to /var/tmp
    trap 'rm -rf -- "$ov_aur_work"' EXIT
    ov_aur_tools || return 1
    mkdir -m 0700 -- "$ov_aur_work/home" "$ov_aur_work/out" || return 1
    {
        cat /etc/makepkg.conf
        echo 'OPTIONS+=(!debug)'
    } >"$ov_aur_work/makepkg.conf" || return 1
    ov_account "$ov_builder"
    chown "$ov_to_uid:$ov_to_gid" -- "$ov_aur_work/home" "$ov_aur_work/out" || return 1
    for ov_name; do
        ov_aur_package "$ov_name" --asexplicit || return 1
    done
}

# A killed run has left its work.
ov_aur_undo() { # NAME...
    rm -rf -- "$ov_aur_work"
    ov_pkg_undo "$@"
}

# What every recipe takes for granted.
ov_aur_tools() {
    ov_missing_tools=$(pacman -T -- base-devel || :)
    [ -z "$ov_missing_tools" ] || ov_aur_repository "$ov_missing_tools"
}

# Install from the repositories, for the sake of others. Old lists may name files that are gone.
ov_aur_repository() { # NAME...
    ov_pacman -S --needed --asdeps -- "$@" && return 0
    ov_say "new lists of packages are needed, and with them the whole system is upgraded"
    ov_pacman -Syu --needed --asdeps -- "$@"
}

ov_aur_as() { # COMMAND...
    ov_as "$ov_builder" env HOME="$ov_aur_work/home" GNUPGHOME="$ov_aur_work/home/.gnupg" PKGDEST="$ov_aur_work/out" \
        LC_ALL=C.UTF-8 "$@"
}

# Build and install one package, after what it needs. In a process of its own, so that it may call itself.
ov_aur_package() ( # NAME MARK
    name=$1
    mark=$2
    if [ -e "$ov_aur_work/$name" ]; then exit 0; fi
    : >"$ov_aur_work/$name"
    ov_say "$name: from the AUR"
    base=$(curl -fsSL "$ov_aur_site/rpc/v5/info/$name" | sed -n 's/.*"PackageBase":"\([^"]*\)".*/\1/p')
    [ -n "$base" ] || ov_fail "the AUR has no package $name"
    curl -fsSL "$ov_aur_site/cgit/aur.git/snapshot/$base.tar.gz" >"$ov_aur_work/$name.tar.gz" ||
        ov_fail "the AUR does not give $base"
    chmod 0644 -- "$ov_aur_work/$name.tar.gz"
    ov_aur_as tar -xzf "$ov_aur_work/$name.tar.gz" -C "$ov_aur_work/home" || exit 1
    recipe=$ov_aur_work/home/$base
    ov_aur_needs "$recipe/.SRCINFO" "$name" >"$ov_aur_work/$name.needs"
    xargs pacman -T -- <"$ov_aur_work/$name.needs" >"$ov_aur_work/$name.missing" || :
    ours='' others=''
    while IFS= read -r need; do
        need=${need%%[<>=]*}
        if pacman -Sp --print-format %n -- "$need" >/dev/null 2>&1; then others="$others $need"; else ours="$ours $need"; fi
    done <"$ov_aur_work/$name.missing"
    # shellcheck disable=SC2086 # names have no blanks
    [ -z "$others" ] || ov_aur_repository $others || exit 1
    for need in $ours; do
        ov_aur_package "$need" --asdeps || exit 1
    done
    sed -n 's/^[[:space:]]*validpgpkeys = //p' "$recipe/.SRCINFO" >"$ov_aur_work/$name.keys"
    while IFS= read -r key; do
        ov_aur_as gpg --batch --recv-keys "$key" || ov_say "the key $key cannot be had"
    done <"$ov_aur_work/$name.keys"
    # shellcheck disable=SC2016 # the other shell expands it
    ov_aur_as sh -c 'cd -- "$1" && shift && exec makepkg "$@"' sh "$recipe" \
        --config "$ov_aur_work/makepkg.conf" --noconfirm --nocheck --force || exit 1
    file=$(ov_aur_built "$name")
    [ -n "$file" ] || ov_fail "makepkg made no package $name of $base"
    for old in ${ov_replaces-}; do
        if pacman -Qq -- "$old" >/dev/null 2>&1; then ov_pacman -Rdd -- "$old" || exit 1; fi
    done
    # shellcheck disable=SC2086 # options are words
    ov_pacman -U --needed "$mark" ${ov_options-} -- "$file"
)

# What a recipe needs, to build and to run one of its packages: names, perhaps with versions.
ov_aur_needs() { # .SRCINFO NAME
    awk -v name="$2" -v arch="$(uname -m)" '
        $1 == "pkgname" { other = $3 != name; next }
        !other && $1 ~ "^(depends|makedepends)(_" arch ")?$" { print $3 }' "$1" | sort -u
}

# The file of a package that was built.
ov_aur_built() { # NAME
    for built in "$ov_aur_work"/out/*.pkg.tar*; do
        case $built in *.sig) continue ;; esac
        if [ "$(pacman -Qp -- "$built" 2>/dev/null | sed 's/ .*//')" = "$1" ]; then printf '%s\n' "$built"; fi
    done | head -n 1
}
