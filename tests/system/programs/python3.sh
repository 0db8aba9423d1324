# python3: threads, subprocesses, a threaded HTTP server (recv) and one that reads with os.read.
cat >program.py <<'PROGRAM'
import hashlib, http.server, os, queue, socket, subprocess, sys, threading, urllib.request
from concurrent.futures import ThreadPoolExecutor

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.end_headers()
        self.wfile.write(hashlib.sha256(body).hexdigest().encode())
    def log_message(self, *_): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
def post(n):
    body = b"admin=%d&" % n * (n * 50 + 1)
    answer = urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/", body).read().decode()
    return answer == hashlib.sha256(body).hexdigest()
with ThreadPoolExecutor(8) as pool:
    print("posts", sum(pool.map(post, range(100))))
server.shutdown()

def run(n):
    done = subprocess.run(["sh", "-c", f"cat; echo en {n}; exit {n}"], input=b"user\n" * n, capture_output=True)
    return done.returncode, len(done.stdout)
with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(run, range(12))))

listener = socket.create_server(("127.0.0.1", 0))
def serve():
    while True:
        connection, _ = listener.accept()
        def echo(fd):
            while data := os.read(fd, 1000): os.write(fd, data.upper())
            os.close(fd)
        threading.Thread(target=echo, args=(connection.detach(),), daemon=True).start()
threading.Thread(target=serve, daemon=True).start()
def talk(n):
    with socket.create_connection(listener.getsockname()) as s:
        s.sendall(b"GET /admin HTTP/1.1\r\nUser-Agent: x\r\n\r\n" * n); s.shutdown(socket.SHUT_WR)
        got = b""
        while data := s.recv(4096): got += data
        return len(got)
with ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(talk, range(1, 40))))

child = os.fork()
if child == 0:
    os.execvp("sh", ["sh", "-c", "read x; exit 5"])
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
sys.exit(4)
PROGRAM
python3 program.py </dev/null || echo "python3: $?"
