# shellcheck shell=sh disable=SC2154
# Part of what fragments may call, after prelude.sh: blocks of lines that belong to one layer, in files of other people.
#
# A block may have a rank: it comes after those with a lower rank or the same, and before those with a higher one.
# Blocks without one stand in the order in which they came. The first line of a block also says what the file was like
# before: "new file" or "new file and folder" (removed with the last block), "line end added" (there was no line break at
# its end). When a block goes, what it knows is handed to a block that stays.

# shellcheck disable=SC2016 # awk's, not the shell's
ov_block_rules='
function begins(line) { return substr(line, 1, 15) == "# >>> ov layer " }
function owner(line) { line = substr(line, 16); return substr(line, 1, index(line " >>>", " >>>") - 1) }
function knows(line, what) { return index(line, " (" what ")") > 0 }
function newness(line) { return match(line, / \(new file[a-z ]*\)/) ? substr(line, RSTART, RLENGTH) : "" }
function rank_of(line) { return match(line, /rank [0-9]+/) ? substr(line, RSTART + 5, RLENGTH - 5) + 0 : 0 }
function unquoted(text, quote) {
    quote = substr(text, 1, 1)
    if (quote != "\"" && quote != "\047") return text
    return substr(text, 2, length(text) - 2)
}
# The lines of a text, one by one.
function add(text,    i, parts, last) {
    last = split(text, parts, "\n")
    for (i = 1; i <= last; i++) lines[++count] = parts[i]
}
# Every block with "# path: FOLDER" has a line PATH=: all that the file says about PATH so far, each folder once.
function complete_paths(    i, inside, path, folder) {
    for (i = 1; i <= count; i++)
        if (begins(lines[i])) inside = 1
        else if (index(lines[i], "# <<< ov layer ") == 1) inside = 0
        else if (!inside && match(lines[i], /^[ \t]*(export[ \t]+)?PATH=/)) path = unquoted(substr(lines[i], RLENGTH + 1))
    if (path == "") path = ENVIRON["OV_BLOCK_PATH"]
    for (i = 1; i <= count; i++)
        if (index(lines[i], "# path: ") == 1) {
            folder = substr(lines[i], 9)
            if (index(":" path ":", ":" folder ":") == 0) path = path ":" folder
        } else if (begins(lines[i])) inside = 1
        else if (index(lines[i], "# <<< ov layer ") == 1) inside = 0
        else if (inside && index(lines[i], "PATH=") == 1) lines[i] = "PATH=\"" path "\""
}
# The new block goes to the end, or before the first block with a higher rank; what that one knows of what is above it
# is then for the new one to know.
function insert(    i, place, begin, old, last) {
    begin = "# >>> ov layer " name " >>>"
    if (rank != "") begin = begin " (rank " rank ")"
    if (ENVIRON["OV_BLOCK_NEW"] != "") begin = begin " (" ENVIRON["OV_BLOCK_NEW"] ")"
    place = count + 1
    if (rank != "")
        for (i = count; i > 0; i--) if (begins(lines[i]) && rank_of(lines[i]) > rank + 0) place = i
    if (place <= count) {
        if (sub(/ \(line end added\)/, "", lines[place])) begin = begin " (line end added)"
    } else if (count && !ends) begin = begin " (line end added)"
    last = count
    for (i = place; i <= last; i++) old[i] = lines[i]
    count = place - 1
    lines[++count] = begin; add(text); lines[++count] = "# <<< ov layer " name " <<<"
    if (place > last) ends = 1
    for (i = place; i <= last; i++) lines[++count] = old[i]
}
BEGIN {
    rank = ENVIRON["OV_BLOCK_RANK"]
    name = ENVIRON["OV_BLOCK_NAME"]
    put = ENVIRON["OV_BLOCK_PUT"] == "yes"
    ends = ENVIRON["OV_BLOCK_ENDS"] == "yes"
    text = ENVIRON["OV_BLOCK_TEXT"]
}
skipping {
    if (index($0, "# <<< ov layer ") == 1) { skipping = 0; if (put) lines[++count] = $0 }
    next
}
begins($0) && owner($0) == name {
    skipping = found = 1
    if (put) { lines[++count] = $0; add(text) }
    else { place = count + 1; was_new = newness($0); was_open = knows($0, "line end added") }
    next
}
{ lines[++count] = $0 }
END {
    if (skipping) exit 11
    if (put && !found) insert()
    if (found && !put) {
        if (was_open && place > count) ends = 0
        else if (was_open && begins(lines[place])) lines[place] = lines[place] " (line end added)"
        if (was_new != "" && count == 0) exit (index(was_new, "folder") ? 12 : 10)
        if (was_new != "")
            for (i = 1; i <= count; i++) if (begins(lines[i])) { lines[i] = lines[i] was_new; break }
    }
    if (ENVIRON["OV_BLOCK_PATH"] != "") complete_paths()
    for (i = 1; i <= count; i++) printf "%s%s", lines[i], (i < count || ends) ? "\n" : ""
}
'

# Print FILE with the block of LAYER, or without it if there is no TEXT. Status 10: nothing is left of the file;
# 12: nor of the folder that it was put into.
# A PATH says what lines PATH= begin with where the file has none of its own. ov_rank is the rank of a new block.
ov_block_text() { # FILE LAYER [TEXT [PATH]]
    OV_BLOCK_NAME=$2 OV_BLOCK_PUT=no OV_BLOCK_TEXT=${3-} OV_BLOCK_PATH=${4-} OV_BLOCK_NEW='' OV_BLOCK_ENDS=yes
    OV_BLOCK_RANK=${ov_rank-}
    if [ -n "${3-}" ]; then OV_BLOCK_PUT=yes; fi
    if [ ! -e "$1" ]; then
        OV_BLOCK_NEW="new file${ov_made:+ and folder}"
        set -- /dev/null
    elif [ -s "$1" ] && [ "$(tail -c 1 -- "$1" | od -An -tx1 | tr -d ' \n')" != 0a ]; then
        OV_BLOCK_ENDS=no
    fi
    export OV_BLOCK_NAME OV_BLOCK_PUT OV_BLOCK_TEXT OV_BLOCK_PATH OV_BLOCK_NEW OV_BLOCK_ENDS OV_BLOCK_RANK
    LC_ALL=C awk "$ov_block_rules" "$1"
}

# The file that a path means: a link of its owner's, as people have for their dotfiles, is followed.
ov_block_file() { # PATH -> ov_file
    ov_file=$1
    if [ -h "$1" ]; then ov_file=$(readlink -f -- "$1"); fi
    ov_safe "$ov_file"
}

# In save: note which folders are made for the blocks, as a killed run forgets it.
ov_block_save() { # FILE...
    for ov_path; do
        if [ ! -d "${ov_path%/*}" ]; then printf '%s\n' "${ov_path%/*}" >>"$STATE/folders"; fi
    done
}

# In look: whether FILE has the block, up to date.
ov_block_same() { # FILE LAYER TEXT MODE [PATH]
    ov_made=
    ov_block_file "$1"
    [ -f "$ov_file" ] || return 1
    ov_block_text "$ov_file" "$2" "$3" "${5-}" | cmp -s - "$ov_file"
}

# Put the block into FILE, or bring it up to date where it stands. A new file gets MODE.
ov_block_put() { # FILE LAYER TEXT MODE [PATH]
    ov_block_file "$1"
    ov_made=
    if [ ! -d "${ov_file%/*}" ] || grep -qsxF -e "${ov_file%/*}" -- "$STATE/folders"; then ov_made=yes; fi
    ov_parents "$ov_file"
    ov_block_write "$ov_file" "$2" "$3" "${5-}" "$4"
    ov_made=
}

# In undo: take the block out, and the file if it was made for blocks and has nothing else.
ov_block_drop() { # FILE LAYER [PATH]
    ov_block_file "$1"
    if [ -f "$ov_file" ]; then ov_block_write "$ov_file" "$2" '' "${3-}" 644; fi
}

ov_block_write() { # FILE LAYER TEXT PATH MODE
    ov_temp "$1"
    if [ -e "$1" ]; then
        cp -a -- "$1" "$ov_new"
    else
        (umask 077 && : >"$ov_new")
        chmod "$5" -- "$ov_new"
    fi
    ov_status=0
    ov_block_text "$1" "$2" "$3" "$4" >"$ov_new" || ov_status=$?
    case $ov_status in
    0) if cmp -s -- "$ov_new" "$1"; then rm -f -- "$ov_new"; else ov_put "$ov_new" "$1"; fi ;;
    10) rm -f -- "$ov_new" "$1" ;;
    12)
        rm -f -- "$ov_new" "$1"
        rmdir -- "${1%/*}" 2>/dev/null || :
        ;;
    11) rm -f -- "$ov_new" && ov_fail "$1: the block of layer $2 has no end: put back the line '# <<< ov layer $2 <<<'" ;;
    *) ov_fail "$1 cannot be written" ;;
    esac
}

# What the kind "environment" does. Its fragments set layer, account, folders (of PATH, one each line), and the texts of
# the blocks: pam, login, units. See ovtasks/layers/kinds/environment.py for why there are three files.
ov_environment_each() { # FUNCTION, which gets FILE LAYER TEXT MODE [PATH]
    ov_environment_path
    ov_units=$units
    # Where systemd does not read /etc/environment for users' services, PATH comes from here.
    # shellcheck disable=SC2016 # systemd expands it
    if [ -n "$folders" ] && [ ! -e /usr/lib/environment.d/99-environment.conf ]; then
        ov_units="$units${units:+
}$(printf '%s\n' "$folders" | sed 's/.*/PATH="${PATH}:&"/')"
    fi
    # No "|| return" behind these: below it, the shell would ignore the fragment's set -e.
    if [ -n "$pam" ]; then "$1" /etc/environment "$layer" "$pam" 644 "$ov_search"; fi
    if [ -n "$login" ]; then "$1" /etc/profile.d/ov-0-environment.sh "$layer" "$login" 644; fi
    if [ -n "$ov_units" ]; then "$1" /etc/environment.d/ov-environment.conf "$layer" "$ov_units" 644; fi
}

# What PATH begins with where /etc/environment does not say it.
ov_environment_path() { # -> ov_search
    ov_search=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    if [ -d /usr/games ]; then ov_search=$ov_search:/usr/games:/usr/local/games; fi
}

ov_environment_drop() { # LAYER
    ov_environment_path
    ov_block_drop /etc/environment "$1" "$ov_search"
    ov_block_drop /etc/profile.d/ov-0-environment.sh "$1"
    ov_block_drop /etc/environment.d/ov-environment.conf "$1"
}
