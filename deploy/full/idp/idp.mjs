// An OpenID Connect provider to try OCU with: one client, which gets tokens by client_credentials. Its state is in memory.
import { readFileSync } from 'node:fs';
import Provider, { errors } from 'oidc-provider';

const issuer = process.env.ISSUER;
// A resource (RFC 8707) is a server that tokens are for; the audience is what that server is called in `aud`.
const audiences = { 'urn:ocu:gateway': 'ocu-gateway', 'urn:ocu:files': 'ocu-files' };

const provider = new Provider(issuer, {
  jwks: JSON.parse(readFileSync('/idp/private.json')),
  clients: [{
    client_id: process.env.CLIENT_ID, client_secret: readFileSync('/idp/client-secret', 'utf8').trim(), grant_types: ['client_credentials'],
    redirect_uris: [], response_types: [], id_token_signed_response_alg: 'ES256',
  }],
  enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:ocu:gateway',
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => {
        if (!audiences[resource]) throw new errors.InvalidTarget();
        return { scope: '', audience: audiences[resource], accessTokenFormat: 'jwt', accessTokenTTL: 3600, jwt: { sign: { alg: 'ES256' } } };
      },
    },
  },
});
provider.on('server_error', (_, e) => console.error(e.message));
const server = provider.listen(Number(process.env.PORT), () => console.log(`serving ${issuer}`));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => server.close(() => process.exit(0)) && server.closeAllConnections());
