// Node's HTTP server.
const server = require('http').createServer((request, response) => response.end('ok'));
server.keepAliveTimeout = 60_000;
server.listen(process.env.SERVER_PORT, '127.0.0.1');
