#!/bin/bash
# Stands before our programs and before servers, under their names, and calls them:
# - what serves until it is ended is left running, and waited for until it listens. The one before it, of the same name, is
#   ended first, as a reader would by Ctrl-C;
# - what measures for long is given fewer requests and less time, after it has read the options as they were written;
# - exit code 4 says that figures are not usable, which they need not be here.
# All three are written down.
set -eu
harness=/mnt/harness
name=${0##*/}
program=$harness/programs/$name
note() { printf '%s\0' "$1" "$BLOCK" 1 "$name" >>"$harness/calls"; }

serve() { # its name, its port, its command
    note served
    local name=$1 port=$2 pid
    shift 2
    if [ -e "$harness/serving/$name" ]; then
        kill "$(cat "$harness/serving/$name")" 2>/dev/null || true
        while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.02; done
    fi
    "$@" >"$harness/$name.log" 2>&1 &
    pid=$!
    echo $pid >"$harness/serving/$name"
    until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        kill -0 $pid 2>/dev/null || { cat "$harness/$name.log" >&2; exit 1; }
        sleep 0.02
    done
    exit 0
}

case "$name ${1-}" in
    "probe-user agent") serve agent 9464 "$program" "$@" ;;
    "loadgen serve") serve loadgen 8089 "$program" "$@" ;;
    redis-server*) serve redis-server 6379 "$(PATH=${PATH#*:} type -P redis-server)" "$@" ;;
    server* | your-server*)
        port=8080
        until mkdir "$harness/serving/port-$port" 2>/dev/null; do port=$((port + 1)); done
        SERVER_PORT=$port serve "server-$port" "$port" "$harness/programs/sut" --quiet
        ;;
    "probe-user bench" | "probe-user validate")
        short='--requests=400 --blocks=8 --servers=1 --warmup=40 --block-warmup=5 --calibration-rounds=0'
        [ "$1 ${2-}" = "validate probes" ] && short='--rounds=2'
        [ "$1" = bench ] && short+=' --micro-calls=100 --micro-cold-calls=1'
        # Slices of time take a time, or as long as the load of others: in one block, so that all arms fit in.
        sliced=${short/--requests=400 --blocks=8/--blocks=1}
        case " $* " in
            *" --slice"*" --load"* | *" --load"*" --slice"*) short=$sliced ;;
            *" --slice"*) short=$sliced' --duration=4' ;;
        esac
        [ "$1 ${2-}" = "validate truth" ] && short+=' --delays=20000 --runs=1'
        [ "$1 ${2-}" = "validate a-a" ] && short+=' --runs=2 --paper-warmup=40'
        ;;
    "probe-user micro") short='--blocks=2 --calls=20 --cold-calls=1' ;;
    "probe-user trace") short='--duration=1 --calibration-rounds=0' ;;
esac

words=("$@")
if [ -n "${short-}" ]; then
    note shortened
    written=() words=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        written+=("$1")
        case " $short" in
            *" ${1%%=*}="*)
                if [[ $1 != *=* ]]; then
                    shift
                    written+=("$1")
                fi
                ;;
            *) words+=("$1") ;;
        esac
        shift
    done
    "$program" "${written[@]}" --help >/dev/null
    # shellcheck disable=SC2206 # options of one word each
    words+=($short "$@")
fi
code=0
"$program" "${words[@]}" || code=$?
[ $code != 4 ] || { note unusable && code=0; }
exit $code
