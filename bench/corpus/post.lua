-- A request for wrk, for capture.py.
wrk.method = "POST"
wrk.body = '{"id":7,"title":"first"}'
wrk.headers["Content-Type"] = "application/json"
