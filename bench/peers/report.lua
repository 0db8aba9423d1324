-- wrk's own statistics as one line of JSON. Latencies are in whole microseconds; `bins` has each value that
-- occurred and how often, where LOAD_BENCH_BINS is set: going through them takes wrk a while.
function done(summary, latency, requests)
  local bins = {}
  if os.getenv("LOAD_BENCH_BINS") then
    for index = 1, #latency do
      local value, count = latency(index)
      bins[index] = string.format("[%d,%d]", value, count)
    end
  end
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"bins":[%s]}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), table.concat(bins, ",")))
end
