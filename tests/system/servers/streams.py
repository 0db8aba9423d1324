# A server of asyncio's streams; it logs a request before it answers.
import asyncio
import os

log = os.open(os.environ["TRIAL_LOG"], os.O_WRONLY | os.O_APPEND)


async def serve(reader, writer):
    port, count = writer.get_extra_info("peername")[1], 0
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            count += 1
            os.write(log, f"R {port} {count}\n".encode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["SERVER_PORT"]))
    await server.serve_forever()


asyncio.run(main())
