// Node's HTTP server; it logs a request before it answers.
const { appendFileSync } = require('fs');
const counts = new WeakMap();
const server = require('http').createServer((request, response) => {
  const { socket } = request;
  const count = (counts.get(socket) ?? 0) + 1;
  counts.set(socket, count);
  appendFileSync(process.env.TRIAL_LOG, `R ${socket.remotePort} ${count}\n`);
  response.end('ok');
});
server.keepAliveTimeout = 60_000;
server.listen(process.env.SERVER_PORT, '127.0.0.1');
