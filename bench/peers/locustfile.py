"""Users who ask for one page, again and again.

Locust rounds latencies to milliseconds in its own statistics. The listener below keeps each as Locust has
timed it.
"""

import json
import os
import time

from locust import FastHttpUser, HttpUser, events, task

IS_FAST = os.environ["LOAD_BENCH_USER"] == "fast"

latencies_ms = []
ends = []
errors = 0


class Reader(FastHttpUser if IS_FAST else HttpUser):
    @task
    def read(self):
        self.client.get("/")


@events.request.add_listener
def note(response_time, exception, **_):
    global errors
    ends.append(time.perf_counter())
    if exception is None:
        latencies_ms.append(response_time)
    else:
        errors += 1


@events.quit.add_listener
def report(**_):
    latencies_ms.sort()
    spent_s = ends[-1] - ends[0] if len(ends) > 1 else 0
    at = lambda share: latencies_ms[int(share * (len(latencies_ms) - 1))] if latencies_ms else 0
    found = {
        "requests": len(ends),
        "errors": errors,
        "requests_per_second": (len(ends) - 1) / spent_s if spent_s else 0,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
    }
    with open(os.environ["LOAD_BENCH_REPORT"], "w") as file:
        json.dump(found, file)
