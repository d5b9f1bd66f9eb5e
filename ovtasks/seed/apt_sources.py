"""Points a guest's apt sources to other mirrors, whichever hosts its vendor wrote into them.

cloud-init's ``apt`` module cannot do this for Debian: a ``primary`` without a ``security`` makes it look for the
security suite under the primary mirror, where Debian has none. Debian's cloud images switch on ``generate_mirrorlists``
(a key of Debian's build of cloud-init): the module then rewrites /etc/apt/mirrors/debian.list and debian-security.list
in the config stage, whatever ``preserve_sources_list`` says, so our mirrors cannot go there. Instead we rewrite the
entries themselves to point to a list of our own (apt-transport-mirror(1), apt 1.6 or newer). It gives apt the order of
the mirrors and the fallback between them.
"""

from __future__ import annotations

from collections.abc import Sequence

# Changes the entries of the distribution's main archive: all suites are the release's own, component main, the vendor's
# keyring or none, not the security archive. Other entries (a third party's repository) stay. Plain awk, as mawk has it.
_AWK = r"""
function ours(uris, suites, components, keyring,    n, i, word) {
    if (uris ~ /security/ || (" " components " ") !~ /[ \t]main[ \t]/) return 0
    if (keyring != "" && index(keyring, "/" ENVIRON["OV_ID"] "-archive-") == 0) return 0
    n = split(uris, word)
    for (i = 1; i <= n; i++) if (word[i] !~ /^(https?|mirror[+a-z]*):/) return 0
    if (n == 0) return 0
    n = split(suites, word)
    for (i = 1; i <= n; i++) if (word[i] !~ SUITE) return 0
    return n > 0
}
function one_line(text,    head, options, keyring, n, word, i, components) {
    match(text, /^[ \t]*deb(-src)?[ \t]+/)
    head = substr(text, 1, RLENGTH)
    text = substr(text, RLENGTH + 1)
    if (match(text, /^\[[^]]*\][ \t]*/)) {
        options = substr(text, 1, RLENGTH)
        text = substr(text, RLENGTH + 1)
        if (match(options, /signed-by=[^] \t]*/)) keyring = substr(options, RSTART + 10, RLENGTH - 10)
    }
    n = split(text, word)
    for (i = 3; i <= n && word[i] !~ /^#/; i++) components = components " " word[i]
    if (ours(word[1], word[2], components, keyring)) text = ENVIRON["OV_URI"] substr(text, length(word[1]) + 1)
    print head options text
}
function stanza(    i, is_ours) {
    is_ours = ours(value["uris"], value["suites"], value["components"], value["signed-by"])
    for (i = 1; i <= lines; i++) {
        if (!is_ours || of[i] != "uris") print line[i]
        else if (line[i] !~ /^[ \t]/) print substr(line[i], 1, index(line[i], ":")) " " ENVIRON["OV_URI"]
    }
    lines = 0
    field = ""
    split("", value)
}
BEGIN { SUITE = "^(" ENVIRON["OV_CODENAME"] \
    "|stable|oldstable|testing|unstable|sid)(-updates|-backports|-backports-sloppy|-proposed|-proposed-updates)?$" }
FILENAME !~ /\.sources$/ { if ($0 ~ /^[ \t]*deb(-src)?[ \t]/) one_line($0); else print; next }
/^[ \t]*$/ { stanza(); print; next }
{
    line[++lines] = $0
    of[lines] = ""
    if ($0 ~ /^#/) next
    if ($0 !~ /^[ \t]/) field = tolower(substr($0, 1, index($0, ":") - 1))
    of[lines] = field
    value[field] = value[field] " " ($0 ~ /^[ \t]/ ? $0 : substr($0, index($0, ":") + 1))
}
END { stanza() }
"""

# $1: /etc, $2: the awk program, then the mirrors. Entries are changed only while our list is missing, that is, once:
# later edits of the sources are the guest's own. The list is written last, so an interrupted run is repeated.
_SCRIPT = r"""
umask 022
etc=$1 program=$2
shift 2
list=$etc/apt/ov-mirrors.list
[ -d "$etc/apt" ] || exit 0
sources() {
    for file in "$etc"/apt/sources.list "$etc"/apt/sources.list.d/*.list "$etc"/apt/sources.list.d/*.sources; do
        case ${file##*/} in *security*) continue ;; esac
        [ ! -f "$file" ] || echo "$file"
    done
}
export OV_URI="mirror+file://$list" OV_ID OV_CODENAME
OV_ID=$(. "$etc/os-release" && echo "$ID")
OV_CODENAME=$(. "$etc/os-release" && echo "${VERSION_CODENAME:-stable}")
if [ ! -e "$list" ]; then
    sources | while read -r file; do
        cp -p "$file" "$file.ov~" && awk "$program" "$file" > "$file.ov~" || { rm -f "$file.ov~"; continue; }
        if cmp -s "$file" "$file.ov~"; then rm "$file.ov~"; else mv "$file.ov~" "$file"; fi
    done
    if ! sources | { while read -r file; do cat "$file"; done; } | grep -qF "$OV_URI"; then
        echo "ov-mirrors: no entry of the main archive of $OV_ID $OV_CODENAME in apt's sources" >&2
        exit 1
    fi
fi
priority=0
for url; do
    priority=$((priority + 1))
    printf '%s\tpriority:%s\n' "$url" "$priority"
done > "$list~" && mv "$list~" "$list"
"""


def apt_command(urls: Sequence[str]) -> list[str]:
    """The argv for cloud-init's ``bootcmd`` (it runs at every boot, before any package is installed).

    It leaves a guest without apt alone. If it finds no entry of the main archive, it says so and fails; cloud-init logs
    that.
    """
    return ["sh", "-c", _SCRIPT.strip(), "ov-mirrors", "/etc", _AWK.strip(), *urls]
