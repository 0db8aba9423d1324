# redis under redis-benchmark.
redis-server --port "$PORT" --bind 127.0.0.1 --save '' --daemonize no --dir . >log 2>&1 & server=$!
for i in $(seq 1 1000); do redis-cli -p "$PORT" ping 2>/dev/null | grep -q PONG && break; sleep 0.05; done
redis-benchmark -p "$PORT" -q -n 3000 -c 20 -P 4 -d 200 -t set,get,incr,lpush,lrange_100 >benchmark 2>&1; echo "benchmark: $?"
tr '\r' '\n' <benchmark | grep -c 'requests per second'
redis-cli -p "$PORT" set admin "user en" ; redis-cli -p "$PORT" get admin
head -c 300000 /dev/zero | tr '\0' x | redis-cli -p "$PORT" -x set large; redis-cli -p "$PORT" strlen large
redis-cli -p "$PORT" get counter:__rand_int__; redis-cli -p "$PORT" llen mylist
redis-cli -p "$PORT" nonsense; redis-cli -p "$PORT" shutdown nosave
wait "$server"; echo "redis: $?"
