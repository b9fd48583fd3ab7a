// keys.mjs PRIVATE PUBLIC: makes the identity provider's signing key, once: PRIVATE for the provider, PUBLIC for whoever verifies.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { exportJWK, generateKeyPair } from 'jose';

process.umask(0); // the modes below are the modes
const [, , privatePath, publicPath] = process.argv;
if (!existsSync(privatePath)) {
  const pair = await generateKeyPair('ES256', { extractable: true });
  const more = { kid: `idp-${Date.now()}`, alg: 'ES256', use: 'sig' };
  rmSync(publicPath, { force: true }); // of an attempt that was cut off
  writeFileSync(publicPath, JSON.stringify({ keys: [{ ...await exportJWK(pair.publicKey), ...more }] }), { mode: 0o444 });
  writeFileSync(privatePath, JSON.stringify({ keys: [{ ...await exportJWK(pair.privateKey), ...more }] }), { mode: 0o400 });
}
