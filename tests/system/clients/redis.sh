# Redis under its own load generator: 50 connections, 16 requests at a time on each; settings, and channels. The server alone has
# what SERVER_PRELOAD names.
set -e
redis() { redis-cli -p "$PORT" "$@"; }
env LD_PRELOAD="$SERVER_PRELOAD" redis-server --port "$PORT" --bind 127.0.0.1 --save '' --daemonize no --dir . >log 2>&1 & server=$!
until redis ping 2>/dev/null | grep -q PONG; do sleep 0.05; done
redis-benchmark -p "$PORT" -q -n 8000 -c 50 -P 16 -d 300 -t set,get,incr,lpush >benchmark 2>&1
tr '\r' '\n' <benchmark | grep -c 'requests per second'
redis get counter:__rand_int__
redis llen mylist
redis config set maxmemory 100mb
redis config get maxmemory
redis-cli -p "$PORT" subscribe news >heard & listener=$!
until redis pubsub numsub news | grep -qx 1; do sleep 0.05; done
for word in one two three; do redis publish news "$word"; done
until grep -q three heard; do sleep 0.05; done
kill "$listener"
cat heard
redis shutdown nosave 2>/dev/null || true
wait "$server"; echo "redis: $?"
