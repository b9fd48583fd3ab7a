// The peer of the gateway: a no-op tool on the official TypeScript SDK, Streamable HTTP, stateless, JSON replies, bearer check.
// node noop-server.mjs PORT, token in OCU_TOKEN; prints "ready".
import http from 'node:http';
import { timingSafeEqual } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.OCU_CLIENTS + '/');
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { McpServer } = await load('@modelcontextprotocol/sdk/server/mcp.js');
const { StreamableHTTPServerTransport } = await load('@modelcontextprotocol/sdk/server/streamableHttp.js');
const want = Buffer.from('Bearer ' + process.env.OCU_TOKEN);

http.createServer(async (req, res) => {
  const got = Buffer.from(req.headers.authorization ?? '');
  if (got.length !== want.length || !timingSafeEqual(got, want)) return res.writeHead(401).end();
  const server = new McpServer({ name: 'noop', version: '1' });
  server.registerTool('noop', { description: 'does nothing' }, async () => ({ content: [{ type: 'text', text: 'ok' }] }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  res.on('close', () => { transport.close(); server.close(); });
  await server.connect(transport);
  await transport.handleRequest(req, res);
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
