# Read by the script of each Markdown file, whose lines are those of the file: what is not a command is empty there.
set -eEuo pipefail
harness=/mnt/harness
. "$harness/needs.sh"
export BLOCK=0
met=

# Begins a block: its line, and what it needs.
begin() {
    BLOCK=$1
    shift
    for need; do
        case " $met " in *" $need "*) continue ;; esac
        met+=" $need"
        "need_$need"
    done
}

# Called before each command, with its line.
ran() {
    [[ $BASH_COMMAND == "begin "* ]] || echo "$1" >>"$harness/ran"
}

trap 'echo "${BASH_SOURCE[0]##*/}: line $LINENO: exit code $?: $BASH_COMMAND" >&2' ERR
