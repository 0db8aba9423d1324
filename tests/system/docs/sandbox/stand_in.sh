#!/bin/bash
# Stands in for a program that cannot do its work here, under its name. Writes down how it was called, to be looked at
# afterwards, and says what the commands behind it go on with.
set -eu
harness=/mnt/harness
printf '%s\0' stand-in "$BLOCK" "$(($# + 1))" "${0##*/}" "$@" >>"$harness/calls"
case "${0##*/} $*" in
    *"get pods"*"-o name") printf 'pod/agent-%s\n' 1 2 ;;
    *"exec pod/agent-"*)
        words=$*
        pod=${words#*pod/}
        cat "$harness/${pod%% *}.json"
        ;;
    *"get nodes -o jsonpath="*) printf 'node-of-servers node-of-load' ;;
    *"-o jsonpath={.spec.nodeName}" | *"get pod sut -o jsonpath="*) printf node-of-servers ;;
    *"-l app.kubernetes.io/name=agent --field-selector"*) echo pod/agent-1 ;;
    "aws sts get-caller-identity"*) echo 123456789012 ;;
    "git clone "*)
        folder=${!#}
        folder=${folder##*/}
        ln -s /mnt/repository "${folder%.git}"
        ;;
    "docker build "*"--output out "*)
        mkdir -p out
        cp "$harness/programs/readhook.so" out
        ;;
esac
