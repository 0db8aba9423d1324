# Python's HTTP server, which forks a process for each connection; that logs a request before it answers.
import http.server
import os
import socketserver

log = os.open(os.environ["TRIAL_LOG"], os.O_WRONLY | os.O_APPEND)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    count = 0

    def do_GET(self):
        self.count += 1
        os.write(log, f"R {self.client_address[1]} {self.count}\n".encode())
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *words):
        pass


class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    pass


Server(("127.0.0.1", int(os.environ["SERVER_PORT"])), Handler).serve_forever()
