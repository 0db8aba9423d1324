# What blocks need before them: needs=NAME calls need_NAME, once for each Markdown file, in its sandbox.

# Waits until somebody listens on a port, or has ended.
listens() {
    until (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
        kill -0 "$2"
        sleep 0.02
    done
}

# Two arms: 8080 without the hook, 8081 with it.
need_servers() {
    HOOKPROBE_ARM=baseline SERVER_PORT=8080 "$harness/programs/sut" --quiet >/dev/null 2>&1 &
    listens 8080 $!
    HOOKPROBE_ARM=hooked SERVER_PORT=8081 LD_PRELOAD=/opt/hook/readhook.so \
        "$harness/programs/sut" --quiet >/dev/null 2>&1 &
    listens 8081 $!
}

# A Redis with a client that asks twenty times a second.
need_redis() {
    "$harness/bin/redis-server" --save ''
    (while redis-cli get key; do sleep 0.05; done >/dev/null 2>&1) &
}

# A finished run under the names that the documentation gives runs. Made once for all files.
need_runs() {
    local run=$harness/run name
    if ! [ -d "$run" ]; then
        "$harness/programs/probe-user" bench --requests 6000 --blocks 24 --servers 2 --warmup 200 --block-warmup 5 \
            --calibration-rounds 0 --micro-calls 100 --micro-cold-calls 2 --out "$run" >/dev/null || (($? == 4))
    fi
    mkdir -p runs
    for name in bench-20261125T101500Z docker kind eks-pod monday tuesday; do cp -r "$run" "runs/$name"; done
}

# Response times as the paper's load generator wrote them, made up, under our names and under the paper's.
need_csv() {
    local file
    for file in a.csv b.csv docker-without-hook-benchmark_15-30-06_1691767806057.csv \
        docker-with-benchmark_15-35-50_1691768150270_8081.csv; do
        awk 'BEGIN {
            print "start_time,response_time"
            for (n = 0; n < 9000; n++) printf "%.6f,%.6f\n", 1691767806 + n / 300, 2.8 + 0.3 * rand()
        }' >"$file"
    done
}

# A server in Java. Nagle's algorithm would have each response wait for 40 ms.
need_java() {
    export JAVA_TOOL_OPTIONS=-Dsun.net.httpserver.nodelay=true
    cp deploy/images/java/Server.java .
}

# A trace with its records in runs/trace, and the load that was sent meanwhile in runs/load-20261125T101500Z.
need_trace() {
    need_servers
    mkdir -p runs
    "$harness/programs/probe-user" trace --port 8081 --duration 3 --calibration-rounds 0 --events runs/trace \
        >/dev/null 2>"$harness/trace.log" &
    local trace=$!
    until grep -q 'attached to' "$harness/trace.log"; do kill -0 $trace; sleep 0.02; done
    "$harness/programs/loadgen" run --arm hooked=http://127.0.0.1:8081/ --requests 500 --blocks 5 --warmup 0 \
        --out runs/load-20261125T101500Z >/dev/null
    wait $trace
}

# Two nodes with an agent each, node-1 and node-2, and the token that both ask for, in a file and in $TOKEN. Each sees the
# processes of its own PID namespace, and has booted by itself.
need_nodes() {
    TOKEN=0123456789abcdef0123456789abcdef
    echo "$TOKEN" >token
    local number
    for number in 1 2; do
        echo "00000000-0000-4000-8000-00000000000$number" >"$harness/boot-$number"
        unshare --pid --fork --mount-proc --kill-child bash -c '
            mount --bind /mnt/harness/boot-'$number' /proc/sys/kernel/random/boot_id
            HOOKPROBE_ARM=hooked SERVER_PORT=909'$number' LD_PRELOAD=/opt/hook/readhook.so \
                /mnt/harness/programs/sut --quiet &
            exec /mnt/harness/programs/probe-user agent --listen 127.0.0.1'$number':9464 --token-file token
        ' >/dev/null 2>&1 &
    done
    for number in 1 2; do
        until curl -fs -H "Authorization: Bearer $TOKEN" "http://node-$number:9464/v1/arms" | grep -q '"hooked"'; do
            sleep 0.1
        done
    done
}

# What these agents answer, in files.
need_answers() {
    need_nodes
    local number
    for number in 1 2; do
        curl -fs -H "Authorization: Bearer $TOKEN" "http://node-$number:9464/v1/arms" >node-$number.json
        cp node-$number.json "$harness/agent-$number.json"
    done
}

# The agent of the composition: on this machine's port, with the token in deploy/token.
need_agent() {
    "$harness/bin/probe-user" agent --token-file deploy/token
}

# A server of the reader's as ./server, on the first free port from 8080 on.
need_server() {
    ln -s "$harness/bin/your-server" server
}

# A program with a function at 0x1234 and one called handle_request. It calls both a thousand times a second.
need_program() {
    cat >server.c <<'PROGRAM'
#include <unistd.h>
__attribute__((noinline)) void handle_request(void) { usleep(500); }
__attribute__((noinline, section(".at"))) void nameless(void) { usleep(500); }
int main(void) { for (;;) { handle_request(); nameless(); } }
PROGRAM
    cc -O1 -Wl,--section-start=.at=0x1234 server.c -o server
    ./server &
}
