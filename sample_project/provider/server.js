// An OpenID Provider for the sample project and its end-to-end tests. Do not deploy it: its passwords
// are public, and it loses everything but the signing key when it stops.
//
// Environment: OIDC_ISSUER (its own address), OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, CLIENT_ORIGINS
// (of the sample, separated by blanks; the first one receives logouts), ACCESS_TOKEN_SECONDS (60),
// KEY_FILE (stores the signing key between two starts).
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

import { Provider } from 'oidc-provider';

import { escape, page, signInForm, signOutButtons } from './pages.js';

const { OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, CLIENT_ORIGINS, KEY_FILE } = process.env;
for (const name of ['OIDC_ISSUER', 'OIDC_CLIENT_ID', 'OIDC_CLIENT_SECRET', 'CLIENT_ORIGINS']) {
  if (!process.env[name]) throw new Error(`${name} is missing in the environment.`);
}
const ACCESS_TOKEN_SECONDS = Number(process.env.ACCESS_TOKEN_SECONDS ?? 60);
const DAYS = 24 * 60 * 60;
const PASSWORD = 'demo';
// The acr of a sign-in with a code as well as the password. Clients ask for it with acr_values.
const WITH_CODE = 'urn:sample:code';
const CODE = '1234';
// A subject is not a user name: it stays when the user changes the name.
const ACCOUNTS = [
  { sub: 'a1f0c6d2-4b7e', login: 'alice', name: 'Alice', email: 'alice@shop.example' },
  { sub: 'b93e5a70-c218', login: 'bob', name: 'Bob', email: 'bob@shop.example' },
];

const log = (line) => console.log(`[provider] ${line}`);
const origins = CLIENT_ORIGINS.split(' ');
const backchannelLogoutUri = `${origins[0]}/bff/backchannel-logout`;

function signingKey() {
  // With a new key the provider would refuse older ID tokens as hints at sign-out.
  if (KEY_FILE && existsSync(KEY_FILE)) return JSON.parse(readFileSync(KEY_FILE, 'utf8'));
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' };
  if (KEY_FILE) writeFileSync(KEY_FILE, JSON.stringify(key), { mode: 0o600 });
  return key;
}

const provider = new Provider(OIDC_ISSUER, {
  clients: [{
    client_id: OIDC_CLIENT_ID,
    client_secret: OIDC_CLIENT_SECRET,
    grant_types: ['authorization_code', 'refresh_token'],
    // With a slash at the end it is that of mozilla-django-oidc.
    redirect_uris: origins.flatMap((origin) => [`${origin}/oidc/callback`, `${origin}/oidc/callback/`]),
    post_logout_redirect_uris: origins.map((origin) => `${origin}/bff/logout/callback`),
    backchannel_logout_uri: backchannelLogoutUri,
    backchannel_logout_session_required: true,
  }],
  findAccount: (ctx, sub) => {
    const account = ACCOUNTS.find((one) => one.sub === sub);
    if (!account) return undefined;
    const { login, name, email } = account;
    const claims = { sub, name, preferred_username: login, email, email_verified: true };
    return { accountId: sub, claims: () => claims };
  },
  acrValues: [WITH_CODE],
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username'],
  },
  // Most providers put the name into the ID token, not only into the userinfo response.
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  // A refresh token may be used once; a second use ends the whole grant.
  rotateRefreshToken: true,
  // Also without offline_access. Such a token ends with the session at the provider.
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: {
    AccessToken: ACCESS_TOKEN_SECONDS,
    AuthorizationCode: 60,
    Grant: 14 * DAYS,
    IdToken: 60 * 60,
    Interaction: 60 * 60,
    RefreshToken: 14 * DAYS,
    Session: 14 * DAYS,
  },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    revocation: { enabled: true, allowedPolicy: (ctx, client, token) => token.clientId === client.clientId },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        ctx.body = page('Sign out of the provider?', form + signOutButtons());
      },
      postLogoutSuccessSource: (ctx) => {
        ctx.body = page('Signed out', '<p>You are signed out of the provider.</p>');
      },
    },
  },
  clientBasedCORS: () => false,
  renderError: (ctx, { error, error_description: description }) => {
    ctx.type = 'html';
    ctx.body = page('That did not work', `<p class="wrong">${escape(description ?? error)}</p>`);
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  jwks: { keys: [signingKey()] },
  // Without the dispatcher, which refuses loopback addresses. A provider with clients of strangers
  // needs that. Here the only client is the sample, on this machine.
  fetch: async (url, { dispatcher, ...options }) => {
    const response = await globalThis.fetch(url, options);
    if (url === backchannelLogoutUri) {
      const cacheControl = response.headers.get('cache-control');
      log(`${options.method} ${url} was answered ${response.status}, Cache-Control: ${cacheControl}`);
    }
    return response;
  },
});

provider.on('backchannel.success', (ctx, client, accountId, sid) => {
  log(`backchannel.success client=${client.clientId} sub=${accountId} sid=${sid}`);
});
provider.on('backchannel.error', async (ctx, error, client, accountId, sid) => {
  const answer = error.response ? `: ${(await error.response.text()).slice(0, 300)}` : '';
  log(`backchannel.error client=${client.clientId} sub=${accountId} sid=${sid} ${error.message}${answer}`);
});
// Log the events of refresh tokens, never the tokens themselves.
provider.on('grant.success', (ctx) => log(`grant.success ${ctx.oidc.params.grant_type}`));
provider.on('grant.error', (ctx, error) => log(`grant.error ${ctx.oidc.params?.grant_type} ${error.error} ${error.error_detail ?? ''}`));
provider.on('grant.revoked', () => log('grant.revoked'));
provider.on('refresh_token.consumed', () => log('refresh_token.consumed'));
provider.on('refresh_token.destroyed', () => log('refresh_token.destroyed'));
provider.on('server_error', (ctx, error) => log(`server_error ${error.stack}`));

/** Grant without asking for consent, because the only client is the sample. */
async function grant(accountId, { client_id: clientId, scope }) {
  const granted = new provider.Grant({ accountId, clientId });
  granted.addOIDCScope(scope);
  return { consent: { grantId: await granted.save() } };
}

async function interact(ctx) {
  const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  const finish = (result) => provider.interactionFinished(ctx.req, ctx.res, result);
  if (prompt.name === 'consent') return finish(await grant(session.accountId, params));
  const withCode = params.acr_values?.split(' ').includes(WITH_CODE);
  let wrong = false;
  if (ctx.method === 'POST') {
    const given = new URLSearchParams(await text(ctx.req));
    const account = ACCOUNTS.find(({ login }) => login === given.get('login'));
    const isRight = given.get('password') === PASSWORD && (!withCode || given.get('code') === CODE);
    if (account && isRight) {
      const login = { accountId: account.sub, acr: withCode ? WITH_CODE : undefined };
      return finish({ login, ...await grant(account.sub, params) });
    }
    wrong = true;
  }
  ctx.body = page('Sign in at the provider', signInForm(ACCOUNTS, PASSWORD, withCode ? CODE : null, wrong));
}

async function hello(ctx) {
  const bearer = /^Bearer (\S+)$/i.exec(ctx.get('authorization'))?.[1];
  const token = await provider.AccessToken.find(bearer);
  if (!token?.isValid) {
    ctx.status = 401;
    ctx.set('WWW-Authenticate', 'Bearer error="invalid_token"');
    ctx.body = { error: 'invalid_token' };
    return;
  }
  const { name } = ACCOUNTS.find(({ sub }) => sub === token.accountId);
  ctx.body = { message: `Hello, ${name}!`, seconds_left: token.remainingTTL };
}

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/interaction/')) await interact(ctx);
  else if (ctx.path === '/api/hello') await hello(ctx);
  else if (ctx.path === '/') ctx.redirect('/session/end');
  else await next();
});

const { hostname, port } = new URL(OIDC_ISSUER);
provider.listen(Number(port || 80), hostname, () => log(`listening at ${OIDC_ISSUER}`));

if (process.argv.includes('--stop-with-stdin')) {
  // The pipe closes when the process at its other end stops for any reason.
  process.stdin.on('end', () => process.exit()).resume();
}
