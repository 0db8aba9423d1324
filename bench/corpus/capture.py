#!/usr/bin/env python3
"""Keeps the bytes of HTTP requests as programs send them: `capture.py FOLDER PREFIX -- COMMAND…`.

Listens on a free port, runs COMMAND with {port} replaced, answers every request with a small page, and writes each
different request to FOLDER/PREFIX-N.http, nothing stripped or added. The port stays in their Host line.
"""

import re
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from hashlib import sha512
from pathlib import Path

PAGE = b"""<!doctype html><title>page</title><link rel=stylesheet href=/style.css><script src=/app.js></script>
<img src=/logo.png><p>page</p><script>fetch('/api/items?offset=0&limit=50');
fetch('/api/items',{method:'POST',headers:{'Content-Type':'application/json'},body:JSON.stringify({id:7})})</script>"""
# Two tokens as sites hand them out: 128 and 1,200 characters that tell nothing.
TOKEN = b64encode(b"".join(sha512(bytes([i])).digest() for i in range(16))).decode()
COOKIES = f"Set-Cookie: sid={TOKEN[:128]}; Path=/\r\nSet-Cookie: pref={TOKEN[128:1328]}; Path=/\r\n".encode()
KINDS = {b"css": b"text/css", b".js": b"text/javascript", b"png": b"image/png"}


def one_request(connection, pending):
    while b"\r\n\r\n" not in pending:
        got = connection.recv(65536)
        if not got:
            return None, b""
        pending += got
    head, _, rest = pending.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    length = int(length.group(1)) if length else 0
    while len(rest) < length:
        rest += connection.recv(65536)
    return head + b"\r\n\r\n" + rest[:length], rest[length:]


def serve(connection, seen):
    pending = b""
    while True:
        request, pending = one_request(connection, pending)
        if request is None:
            return
        seen.append(request)
        path = request.split(b" ", 2)[1]
        kind = KINDS.get(path[-3:], b"text/html")
        body = PAGE if kind == b"text/html" else b""
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s" % (kind, COOKIES, len(body), body)
        )


def main():
    folder, prefix, dashes, *command = sys.argv[1:]
    assert dashes == "--" and command, __doc__
    listener = socket.create_server(("127.0.0.1", 0))
    port = str(listener.getsockname()[1])
    seen = []

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, seen), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    subprocess.run([word.replace("{port}", port) for word in command], check=False)
    for number, request in enumerate(dict.fromkeys(seen), 1):
        (Path(folder) / f"{prefix}-{number}.http").write_bytes(request)
        print(f"{prefix}-{number}.http: {len(request)} bytes")


main()
