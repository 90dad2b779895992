// openid-client, unmodified, against a server that has the realm of ../realm.json.
//
//     BASE_URL=http://127.0.0.1:8080 node --test
//
// The library is strict where the specifications are: it compares the issuer, demands the content types, checks each ID token's
// claims, and with enableNonRepudiationChecks its signature too. jose verifies the access tokens with the published keys.
// Every expectation holds for Keycloak 26.7 too.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { before, describe, test } from 'node:test'
import * as jose from 'jose'
import * as client from 'openid-client'

const base = process.env.BASE_URL?.replace(/\/+$/, '')
if (!base) throw new Error('BASE_URL says which server to test')
const issuer = `${base}/realms/clients`
const user = { username: 'alice', password: 'test-password-alice' }

/** What discovery of `clientId` gives, allowed to speak plain HTTP with this machine. */
const discover = (clientId, authentication, server = issuer) =>
  client.discovery(new URL(server), clientId, undefined, authentication, {
    execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
  })

const password = (config, changed = {}) =>
  client.genericGrantRequest(config, 'password', { ...user, scope: 'openid', ...changed })

/** The error says what the server answered: status, `error` and, if given, the description. */
const refusal = (status, error, description) => (thrown) => {
  assert.ok(thrown instanceof client.ResponseBodyError, String(thrown))
  assert.deepEqual([thrown.status, thrown.error], [status, error])
  if (description) assert.equal(thrown.error_description, description)
  return true
}

/** The same for answers whose error stands in `WWW-Authenticate`. */
const challenge = (status, error) => (thrown) => {
  assert.ok(thrown instanceof client.WWWAuthenticateChallengeError, String(thrown))
  const [{ scheme, parameters }] = thrown.cause
  assert.deepEqual([thrown.status, scheme, parameters.error], [status, 'bearer', error])
  return true
}

const spoiled = (token) => {
  const [header, claims, signature] = token.split('.')
  return [header, claims, (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)].join('.')
}

describe('discovery', () => {
  test('the issuer and its endpoints', async () => {
    const metadata = (await discover('backend', client.ClientSecretPost('test-secret-backend'))).serverMetadata()
    assert.equal(metadata.issuer, issuer)
    for (const name of ['token', 'userinfo', 'introspection', 'revocation']) {
      assert.ok(metadata[`${name}_endpoint`].startsWith(`${issuer}/protocol/openid-connect/`), name)
    }
  })

  test('by the algorithm of RFC 8414', async () => {
    const found = await client.discovery(new URL(issuer), 'mobile', undefined, client.None(), {
      algorithm: 'oauth2',
      execute: [client.allowInsecureRequests],
    })
    assert.equal(found.serverMetadata().issuer, issuer)
  })

  test('an unknown realm', async () => {
    await assert.rejects(discover('backend', client.None(), `${base}/realms/nosuch`), (thrown) => {
      assert.equal(thrown.code, 'OAUTH_RESPONSE_IS_NOT_CONFORM')
      assert.equal(thrown.cause.status, 404)
      return true
    })
  })
})

for (const method of ['ClientSecretPost', 'ClientSecretBasic']) {
  describe(`a confidential client by ${method}`, () => {
    let config, keys
    before(async () => {
      config = await discover('backend', client[method]('test-secret-backend'))
      keys = jose.createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri))
    })

    test('client_credentials', async () => {
      const answer = await client.clientCredentialsGrant(config)
      assert.deepEqual([answer.token_type, answer.refresh_expires_in, answer.refresh_token], ['bearer', 0, undefined])
      // The library counts down; a second may pass in between.
      for (const seconds of [answer.expires_in, answer.expiresIn()]) assert.ok(seconds > 297 && seconds <= 300, `${seconds}`)
      const { payload } = await jose.jwtVerify(answer.access_token, keys, { issuer, audience: 'backend' })
      assert.equal(payload.preferred_username, 'service-account-backend')
    })

    test('client_credentials with scopes', async () => {
      const answer = await client.clientCredentialsGrant(config, { scope: 'openid phone' })
      assert.deepEqual(new Set(answer.scope.split(' ')), new Set(['openid', 'email', 'profile', 'phone']))
      await assert.rejects(
        client.clientCredentialsGrant(config, { scope: 'nosuch' }),
        refusal(400, 'invalid_scope', 'Invalid scopes: nosuch'),
      )
    })

    test('password', async () => {
      const answer = await password(config)
      const { payload, protectedHeader } = await jose.jwtVerify(answer.access_token, keys, { issuer, audience: 'backend' })
      assert.equal(protectedHeader.alg, 'RS256')
      assert.deepEqual([payload.typ, payload.azp, payload.exp - payload.iat], ['Bearer', 'backend', 300])
      const id = answer.claims()
      assert.deepEqual([id.aud, id.sub, id.email, id.sid], ['backend', payload.sub, 'alice@example.test', answer.session_state])
    })

    test('a wrong password and an unknown user', async () => {
      for (const wrong of [{ password: 'wrong' }, { username: 'nobody' }]) {
        await assert.rejects(password(config, wrong), refusal(400, 'invalid_grant', 'Invalid user credentials'))
      }
    })

    test('a wrong secret', async () => {
      const wrong = await discover('backend', client[method]('wrong'))
      const expected = refusal(401, 'unauthorized_client', 'Invalid client or Invalid client credentials')
      await assert.rejects(client.clientCredentialsGrant(wrong), expected)
      await assert.rejects(password(wrong), expected)
      await assert.rejects(client.tokenIntrospection(wrong, 'any'), refusal(401, 'invalid_client'))
      await assert.rejects(client.tokenRevocation(wrong, 'any'), refusal(401, 'unauthorized_client'))
    })

    test('an unknown client', async () => {
      const unknown = await discover('nosuch', client[method]('test-secret-backend'))
      await assert.rejects(client.clientCredentialsGrant(unknown), refusal(401, 'invalid_client'))
    })

    test('an unknown grant', async () => {
      await assert.rejects(client.genericGrantRequest(config, 'nosuch', {}), refusal(400, 'unsupported_grant_type'))
    })

    test('refresh', async () => {
      const first = await password(config)
      const second = await client.refreshTokenGrant(config, first.refresh_token)
      assert.notEqual(second.access_token, first.access_token)
      assert.deepEqual([second.claims().sub, second.claims().sid], [first.claims().sub, first.claims().sid])
      await jose.jwtVerify(second.access_token, keys, { issuer, audience: 'backend' })
      await assert.rejects(client.refreshTokenGrant(config, 'nonsense'), refusal(400, 'invalid_grant', 'Invalid refresh token'))
    })

    test('introspection', async () => {
      const answer = await password(config)
      const found = await client.tokenIntrospection(config, answer.access_token)
      assert.deepEqual([found.active, found.iss, found.client_id, found.username], [true, issuer, 'backend', 'alice'])
      assert.deepEqual(new Set(found.aud), new Set(['backend', 'account']))
      const own = await client.clientCredentialsGrant(config)
      assert.equal((await client.tokenIntrospection(config, own.access_token)).active, true)
      for (const wrong of [spoiled(answer.access_token), 'nonsense']) {
        assert.deepEqual({ ...(await client.tokenIntrospection(config, wrong)) }, { active: false })
      }
    })

    test('userinfo', async () => {
      const answer = await password(config)
      const found = await client.fetchUserInfo(config, answer.access_token, answer.claims().sub)
      assert.deepEqual([found.preferred_username, found.name, found.email_verified], ['alice', 'Alice Example', true])
      await assert.rejects(client.fetchUserInfo(config, spoiled(answer.access_token), client.skipSubjectCheck), challenge(401, 'invalid_token'))
      const without = await password(config, { scope: 'email' })
      await assert.rejects(
        client.fetchUserInfo(config, without.access_token, client.skipSubjectCheck),
        challenge(403, 'insufficient_scope'),
      )
    })

    test('revocation of the access token', async () => {
      const answer = await password(config)
      await client.tokenRevocation(config, answer.access_token, { token_type_hint: 'access_token' })
      assert.equal((await client.tokenIntrospection(config, answer.access_token)).active, false)
      await client.refreshTokenGrant(config, answer.refresh_token)
    })

    test('revocation of the refresh token', async () => {
      const answer = await password(config)
      await client.tokenRevocation(config, answer.refresh_token)
      await assert.rejects(client.refreshTokenGrant(config, answer.refresh_token), refusal(400, 'invalid_grant'))
      await assert.rejects(client.fetchUserInfo(config, answer.access_token, client.skipSubjectCheck), challenge(401, 'invalid_token'))
    })

    test('a token that somebody changed', async () => {
      const { access_token: token } = await client.clientCredentialsGrant(config)
      await assert.rejects(jose.jwtVerify(spoiled(token), keys), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' })
    })
  })
}

describe('a public client', () => {
  let config
  before(async () => {
    config = await discover('mobile', client.None())
  })

  test('password, refresh and revocation', async () => {
    const first = await password(config)
    const second = await client.refreshTokenGrant(config, first.refresh_token)
    assert.equal(second.claims().sid, first.claims().sid)
    await client.tokenRevocation(config, second.refresh_token)
    await assert.rejects(client.refreshTokenGrant(config, second.refresh_token), refusal(400, 'invalid_grant'))
  })

  test('has no service account', async () => {
    await assert.rejects(
      client.clientCredentialsGrant(config),
      refusal(401, 'unauthorized_client', 'Public client not allowed to retrieve service account'),
    )
  })

  test('its token is not for the confidential client', async () => {
    const { access_token: token } = await password(config)
    const other = await discover('backend', client.ClientSecretPost('test-secret-backend'))
    assert.equal((await client.tokenIntrospection(other, token)).active, false)
  })

  test('the refresh token of another client', async () => {
    const other = await discover('backend', client.ClientSecretPost('test-secret-backend'))
    const { refresh_token: token } = await password(other)
    await assert.rejects(client.refreshTokenGrant(config, token), refusal(400, 'invalid_grant'))
  })
})

// jose makes a partner's assertions (RFC 7523).
describe('a partner', () => {
  const keyFile = (name) => readFile(`${process.env.PARTNER_KEYS}/${name}.pem`, 'utf8')
  const assertion = async (partner, alg, changed = {}) =>
    new jose.SignJWT(changed)
      .setProtectedHeader({ alg })
      .setIssuer(`https://${partner}.example.test`)
      .setSubject('ada-there')
      .setAudience(changed.aud ?? issuer)
      .setJti(crypto.randomUUID())
      .setIssuedAt()
      .setExpirationTime('2m')
      .sign(await jose.importPKCS8(await keyFile(partner), alg))
  const exchange = async (config, text) =>
    client.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:jwt-bearer', { assertion: text })
  let config
  before(async () => {
    config = await discover('orders', client.ClientSecretBasic('test-secret-orders'))
  })

  for (const [partner, alg] of [['partner-rsa', 'RS256'], ['partner-ec', 'ES256']]) {
    test(`${alg}: an assertion becomes a token, once`, async () => {
      const text = await assertion(partner, alg)
      const answer = await exchange(config, text)
      assert.equal(jose.decodeJwt(answer.access_token).preferred_username, 'alice')
      await assert.rejects(exchange(config, text), refusal(400, 'invalid_grant', 'Token reuse detected'))
    })
  }

  test('an assertion for somebody else', async () => {
    const text = await assertion('partner-rsa', 'RS256', { aud: 'https://other.example.test' })
    await assert.rejects(exchange(config, text), refusal(400, 'invalid_grant', 'Invalid token audience'))
  })
})
