#!/bin/bash
# node: its buffers, workers, zlib, crypto, children and collections.
set -u
. "$(dirname "$0")/lib"
needs node
cat >program.js <<'END'
const {Worker, isMainThread, parentPort, workerData} = require('worker_threads');
const crypto = require('crypto'), zlib = require('zlib'), {execFileSync, fork} = require('child_process');
if (process.argv[2] === 'child') {
  process.on('message', m => { process.send(m.map(x => x * 2)); process.disconnect(); });
} else if (!isMainThread) {
  const all = [];
  for (let i = 0; i < 400; i++) all.push(Buffer.alloc(i * 97 % 9000, 'w' + workerData + i));
  parentPort.postMessage(crypto.createHash('sha256').update(Buffer.concat(all)).digest('hex'));
} else {
  (async () => {
    const sums = await Promise.all([1, 2, 3].map(n => new Promise((done, bad) => {
      const w = new Worker(__filename, {workerData: n});
      w.on('message', done).on('error', bad);
    })));
    console.log(sums);
    const map = new Map();
    for (let i = 0; i < 30000; i++) map.set('k' + i * 7919 % 9973, (map.get('k' + i * 7919 % 9973) || '') + i % 10);
    console.log(map.size, crypto.createHash('md5').update(JSON.stringify([...map])).digest('hex'));
    const packed = await Promise.all([...Array(20).keys()].map(i => new Promise((done, bad) =>
      zlib.gzip(Buffer.alloc(20000 + i * 1000, 'text ' + i), (e, r) => e ? bad(e) : done(zlib.gunzipSync(r).length)))));
    console.log(packed.reduce((a, b) => a + b));
    let garbage;
    for (let i = 0; i < 3000; i++) garbage = new Uint8Array(i * 50);
    if (global.gc) global.gc();
    console.log(garbage.length, crypto.pbkdf2Sync('p', 's', 2000, 32, 'sha512').toString('hex'));
    console.log(execFileSync('echo', ['from a child']).toString().trim());
    const child = fork(__filename, ['child']);
    child.send([1, 2, 3]);
    console.log(await new Promise(done => child.on('message', done)));
    await new Promise(done => child.on('exit', done));
    try { Buffer.alloc(2 ** 53 - 1); } catch (e) { console.log(e.code || e.name); }
    process.exitCode = 5;
  })();
}
END
in_modes 'off sample exact' node node --expose-gc program.js
did node 5 '^from a child$' '^\[ 2, 4, 6 \]$' '^ERR_OUT_OF_RANGE$'
exit $bad
