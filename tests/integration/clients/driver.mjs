// A line-driven MCP client on the official SDKs: node driver.mjs v1|v2|v2-auto URL, bearer token in OCU_TOKEN.
// Reads one JSON command a line ({"id":1,"op":"list"} or {"id":2,"op":"call","tool":"view","args":{...}}), answers one
// JSON line {"id":..., "ok":..., "ms":...} or {"id":..., "error":{...}}; commands run concurrently.
import readline from 'node:readline';

const [kind, url] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${process.env.OCU_TOKEN}` };
if (process.env.OCU_CHAT_ID) headers['X-Chat-Id'] = process.env.OCU_CHAT_ID;

async function connect() {
  const info = { name: 'ocu-test', version: '1' };
  const transportOptions = { requestInit: { headers } };
  if (kind === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const client = new Client(info), transport = new StreamableHTTPClientTransport(new URL(url), transportOptions);
    await client.connect(transport);
    return { client, transport };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const options = kind === 'v2-auto' ? { versionNegotiation: { mode: 'auto' } } : {};
  const client = new Client(info, options), transport = new StreamableHTTPClientTransport(new URL(url), transportOptions);
  await client.connect(transport);
  return { client, transport };
}

const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');
const { client, transport } = await connect().catch((e) => { say({ id: 0, error: { message: String(e), code: e.code } }); process.exit(1); });
say({ id: 0, ok: { server: client.getServerVersion(), session: Boolean(transport.sessionId), instructions: client.getInstructions() } });

async function run(c, note) {
  if (c.op === 'list') return client.listTools();
  if (c.op === 'ping') return client.ping();
  if (c.op === 'terminate') return transport.terminateSession();
  const options = { timeout: c.timeout ?? 60000, resetTimeoutOnProgress: true, signal: c.abort_ms ? AbortSignal.timeout(c.abort_ms) : undefined };
  if (c.progress) options.onprogress = (p) => note({ id: c.id, progress: p });
  const params = { name: c.tool, arguments: c.args };
  return kind === 'v1' ? client.callTool(params, undefined, options) : client.callTool(params, options);
}

const under_way = new Set();
for await (const line of readline.createInterface({ input: process.stdin })) {
  const c = JSON.parse(line), t0 = performance.now();
  const p = run(c, say).then(
    (ok) => say({ id: c.id, ok: ok ?? {}, ms: performance.now() - t0 }),
    (e) => say({ id: c.id, error: { message: e.message, code: e.code, data: e.data }, ms: performance.now() - t0 }));
  under_way.add(p);
  p.finally(() => under_way.delete(p));
}
await Promise.allSettled(under_way);
await client.close();
process.exit(0);
