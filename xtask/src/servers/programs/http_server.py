"""The HTTP server of Python's library. Its argument: threads, processes (a fork for each connection), close (HTTP/1.0, which
closes each connection) or tls."""

import http.server
import os
import socketserver
import ssl
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    # Without it the body waits for the acknowledgement of the head.
    disable_nagle_algorithm = True

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *words):
        pass


class Forking(socketserver.ForkingMixIn, http.server.HTTPServer):
    pass


mode = sys.argv[1]
if mode != "close":
    Handler.protocol_version = "HTTP/1.1"
kind = Forking if mode == "processes" else http.server.ThreadingHTTPServer
server = kind(("127.0.0.1", int(os.environ["SERVER_PORT"])), Handler)
if mode == "tls":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
