# curl and a server of Python's library: connections that are kept and that are not, bodies of 10 MB, requests that wait to be asked for
# their body. The salt of a trial is in every request, though their sizes are not the trial's. The server alone has what
# SERVER_PRELOAD names.
set -e
cat >server.py <<'PYTHON'
import hashlib, http.server, os, signal, sys, threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.answer(self.request_version.encode() + b" " + self.path.encode())

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(hashlib.sha256(body).hexdigest().encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 1))
        self.end_headers()
        self.wfile.write(body + b"\n")

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
print("server: ended")
PYTHON
at="http://127.0.0.1:$PORT"
fetch() { curl --silent --show-error --max-time 60 --header 'X-Hookprobe-Salt: 00000000000000ff' "$@"; }
env LD_PRELOAD="$SERVER_PRELOAD" python3 server.py & server=$!
until curl --silent "$at/" >/dev/null; do sleep 0.05; done
fetch --write-out '%{num_connects} new\n' "$at/a[1-40]"
fetch --http1.0 "$at/old" "$at/older"
fetch --write-out '%{http_version}\n' --header 'Connection: close' "$at/closed"
head -c 10000000 /dev/zero | tr '\0' x >large
sha256sum large
fetch --upload-file large --header 'Expect:' "$at/put" "$at/put"
fetch --upload-file large --header 'Expect: 100-continue' --verbose "$at/put" 2>said
grep -c '^< HTTP/1.1 100' said
for i in 1 2 3 4 5 6 7 8; do fetch "$at/side$i" >"side$i" & sides="${sides:-} $!"; done
wait $sides
cat side?
kill "$server"
wait "$server"
