# Node.js: an HTTP server and its clients, worker threads, children, streams.
cat >program.js <<'PROGRAM'
const http = require('http'), fs = require('fs'), crypto = require('crypto');
const { Worker } = require('worker_threads'), { spawn } = require('child_process');
const digest = (data) => crypto.createHash('sha256').update(data).digest('hex');
const server = http.createServer((request, response) => {
  const hash = crypto.createHash('sha256');
  request.on('data', (chunk) => hash.update(chunk));
  request.on('end', () => response.end(hash.digest('hex')));
});
const post = (port, n) => new Promise((done) => {
  const body = 'admin en '.repeat(n * 100);
  const request = http.request({ port, host: '127.0.0.1', method: 'POST' }, async (response) => {
    let text = ''; for await (const chunk of response) text += chunk;
    done(text === digest(body));
  });
  request.end(body);
});
server.listen(0, '127.0.0.1', async () => {
  const { port } = server.address();
  const results = await Promise.all(Array.from({ length: 60 }, (_, n) => post(port, n)));
  console.log('posts', results.filter(Boolean).length);
  server.close(); server.closeAllConnections();
  const code = "const {parentPort}=require('worker_threads');parentPort.postMessage(require('fs').readFileSync('numbers').length)";
  const worker = new Worker(code, { eval: true });
  worker.on('message', (length) => {
    console.log('worker', length);
    const child = spawn('sh', ['-c', 'wc -l; exit 9']);
    fs.createReadStream('numbers').pipe(child.stdin);
    child.stdout.on('data', (data) => console.log('child', String(data).trim()));
    child.on('close', (code) => { console.log('closed', code); process.exitCode = 8; });
  });
});
PROGRAM
seq 1 30000 >numbers
node program.js || echo "node: $?"
