"""python-keycloak, unmodified, against a server that has the realm of ../realm.json.

    BASE_URL=http://127.0.0.1:8080 python -m unittest -v test_python_keycloak

Every expectation holds for Keycloak 26.7 too: the library raises KeycloakAuthenticationError for each 401 and the error of the
method (KeycloakPostError, KeycloakGetError) for everything else, so programs see a changed status as a changed exception.
"""
import json
import os
import unittest

from jwcrypto.jwt import JWTExpired, JWTMissingKey
from keycloak import KeycloakOpenID
from keycloak.exceptions import KeycloakAuthenticationError, KeycloakGetError, KeycloakPostError

BASE = os.environ["BASE_URL"].rstrip("/")
ISSUER = f"{BASE}/realms/clients"
USER, PASSWORD = "alice", "test-password-alice"


def backend(**changed):
    settings = {"realm_name": "clients", "client_id": "backend", "client_secret_key": "test-secret-backend", **changed}
    return KeycloakOpenID(server_url=BASE, **settings)


def mobile():
    return KeycloakOpenID(server_url=BASE, realm_name="clients", client_id="mobile")


def spoiled(token):
    """The same token with another signature of the same length."""
    head, claims, signature = token.split(".")
    return ".".join([head, claims, ("A" if signature[0] != "A" else "B") + signature[1:]])


class Tests(unittest.TestCase):
    maxDiff = None

    def refused(self, error, status, code, call, *arguments, **named):
        """The call raises exactly this exception, with this status and this `error` in the body (None: the body is empty)."""
        with self.assertRaises(error) as raised:
            call(*arguments, **named)
        self.assertIs(type(raised.exception), error)
        self.assertEqual(raised.exception.response_code, status)
        if code is None:
            self.assertEqual(raised.exception.response_body, b"")
            return None
        body = json.loads(raised.exception.response_body)
        self.assertEqual(body["error"], code)
        return body.get("error_description")


class Documents(Tests):
    def test_well_known(self):
        found = backend().well_known()
        self.assertEqual(found["issuer"], ISSUER)
        self.assertEqual(found["token_endpoint"], f"{ISSUER}/protocol/openid-connect/token")
        self.assertEqual(found["jwks_uri"], f"{ISSUER}/protocol/openid-connect/certs")
        self.assertLessEqual({"password", "client_credentials", "refresh_token"}, set(found["grant_types_supported"]))

    def test_certs(self):
        keys = backend().certs()["keys"]
        signing = [key for key in keys if key.get("use") == "sig" and key.get("alg") == "RS256"]
        self.assertEqual(len(signing), 1)
        self.assertEqual(signing[0]["kty"], "RSA")

    def test_public_key_of_the_realm(self):
        self.assertTrue(backend().public_key().startswith("MII"))

    def test_unknown_realm(self):
        unknown = backend(realm_name="nosuch")
        self.refused(KeycloakGetError, 404, "Realm does not exist", unknown.well_known)
        self.refused(KeycloakPostError, 404, "Realm does not exist", unknown.token, USER, PASSWORD)


class Tokens(Tests):
    def test_password(self):
        answer = backend().token(USER, PASSWORD)
        self.assertEqual(answer["token_type"], "Bearer")
        # A second may pass between the start of the session and the answer.
        self.assertIn(answer["expires_in"], (299, 300))
        self.assertIn(answer["refresh_expires_in"], (1799, 1800))
        self.assertEqual(set(answer["scope"].split()), {"openid", "profile", "email"})
        self.assertTrue(answer["refresh_token"])
        self.assertTrue(answer["id_token"])
        self.assertEqual(answer["not-before-policy"], 0)
        self.assertTrue(answer["session_state"])

    def test_password_by_email(self):
        self.assertIn("access_token", backend().token("alice@example.test", PASSWORD))

    def test_password_of_a_public_client(self):
        answer = mobile().token(USER, PASSWORD, scope="openid email")
        claims = mobile().decode_token(answer["access_token"])
        self.assertEqual(claims["azp"], "mobile")
        self.assertEqual(claims["email"], "alice@example.test")

    def test_client_credentials(self):
        answer = backend().token(grant_type="client_credentials")
        self.assertNotIn("refresh_token", answer)
        self.assertIn(answer["expires_in"], (299, 300))
        self.assertEqual(answer["refresh_expires_in"], 0)
        claims = backend().decode_token(answer["access_token"])
        self.assertEqual(claims["preferred_username"], "service-account-backend")
        self.assertEqual(claims["client_id"], "backend")
        self.assertNotIn("sid", claims)

    def test_client_credentials_of_a_public_client(self):
        text = self.refused(KeycloakAuthenticationError, 401, "unauthorized_client", mobile().token, grant_type="client_credentials")
        self.assertEqual(text, "Public client not allowed to retrieve service account")

    def test_wrong_password(self):
        for user in (USER, "nobody"):
            with self.subTest(user):
                text = self.refused(KeycloakPostError, 400, "invalid_grant", backend().token, user, "wrong")
                self.assertEqual(text, "Invalid user credentials")

    def test_wrong_secret(self):
        wrong = backend(client_secret_key="wrong")
        for call in (lambda: wrong.token(USER, PASSWORD), lambda: wrong.token(grant_type="client_credentials")):
            text = self.refused(KeycloakAuthenticationError, 401, "unauthorized_client", call)
            self.assertEqual(text, "Invalid client or Invalid client credentials")

    def test_unknown_client(self):
        self.refused(KeycloakAuthenticationError, 401, "invalid_client", backend(client_id="nosuch").token, USER, PASSWORD)

    def test_unknown_scope(self):
        text = self.refused(KeycloakPostError, 400, "invalid_scope", backend().token, USER, PASSWORD, scope="openid nosuch")
        self.assertEqual(text, "Invalid scopes: openid nosuch")

    def test_unknown_grant(self):
        self.refused(KeycloakPostError, 400, "unsupported_grant_type", backend().token, USER, PASSWORD, grant_type="nosuch")


class Decoding(Tests):
    def test_with_the_published_keys(self):
        server = backend()
        answer = server.token(USER, PASSWORD)
        claims = server.decode_token(answer["access_token"], check_claims={"iss": ISSUER, "typ": "Bearer", "azp": "backend"})
        self.assertEqual(set(claims["aud"]), {"backend", "account"})
        self.assertEqual(claims["exp"] - claims["iat"], 300)
        self.assertEqual(claims["preferred_username"], USER)
        self.assertEqual((claims["given_name"], claims["family_name"], claims["name"]), ("Alice", "Example", "Alice Example"))
        self.assertLessEqual({"offline_access", "uma_authorization"}, set(claims["realm_access"]["roles"]))

    def test_id_token(self):
        server = backend()
        answer = server.token(USER, PASSWORD)
        claims = server.decode_token(answer["id_token"], check_claims={"iss": ISSUER, "aud": "backend", "typ": "ID"})
        self.assertEqual(claims["sid"], answer["session_state"])
        self.assertTrue(claims["at_hash"])

    def test_without_validation(self):
        answer = backend().token(grant_type="client_credentials")
        self.assertEqual(backend().decode_token(answer["access_token"], validate=False)["iss"], ISSUER)

    def test_spoiled_token(self):
        token = spoiled(backend().token(USER, PASSWORD)["access_token"])
        # The library tries every key of the set, and then says only that none of them fits.
        with self.assertRaises(JWTMissingKey):
            backend().decode_token(token)

    def test_expired_token(self):
        token = backend().token(USER, PASSWORD)["access_token"]
        with self.assertRaises(JWTExpired):
            backend().decode_token(token, leeway=-301)


class Refreshing(Tests):
    def test_refresh(self):
        server = backend()
        first = server.token(USER, PASSWORD)
        second = server.refresh_token(first["refresh_token"])
        self.assertNotEqual(second["access_token"], first["access_token"])
        self.assertEqual(second["session_state"], first["session_state"])
        claims = [server.decode_token(answer["access_token"]) for answer in (first, second)]
        self.assertEqual(claims[0]["sub"], claims[1]["sub"])
        self.assertNotEqual(claims[0]["jti"], claims[1]["jti"])
        self.assertIn("access_token", server.refresh_token(second["refresh_token"]))

    def test_refresh_of_a_public_client(self):
        token = mobile().token(USER, PASSWORD)["refresh_token"]
        self.assertIn("access_token", mobile().refresh_token(token))

    def test_token_of_another_client(self):
        token = mobile().token(USER, PASSWORD)["refresh_token"]
        self.refused(KeycloakPostError, 400, "invalid_grant", backend().refresh_token, token)

    def test_what_is_no_refresh_token(self):
        token = backend().token(USER, PASSWORD)["access_token"]
        for wrong in (token, "nonsense"):
            self.refused(KeycloakPostError, 400, "invalid_grant", backend().refresh_token, wrong)


class Introspecting(Tests):
    def test_own_tokens(self):
        server = backend()
        answer = server.token(USER, PASSWORD)
        found = server.introspect(answer["access_token"])
        self.assertIs(found["active"], True)
        self.assertEqual((found["username"], found["client_id"], found["token_type"]), (USER, "backend", "Bearer"))
        self.assertIs(server.introspect(server.token(grant_type="client_credentials")["access_token"])["active"], True)

    def test_token_of_another_audience(self):
        token = mobile().token(USER, PASSWORD)["access_token"]
        self.assertEqual(backend().introspect(token), {"active": False})

    def test_spoiled_token(self):
        token = spoiled(backend().token(USER, PASSWORD)["access_token"])
        self.assertEqual(backend().introspect(token), {"active": False})

    def test_wrong_secret(self):
        wrong = backend(client_secret_key="wrong")
        self.refused(KeycloakAuthenticationError, 401, "invalid_client", wrong.introspect, "any")


class UserInfo(Tests):
    """A refusal has its `error` in WWW-Authenticate, which the library does not show, and no body."""

    def test_userinfo(self):
        server = backend()
        token = server.token(USER, PASSWORD)["access_token"]
        found = server.userinfo(token)
        self.assertEqual(found["sub"], server.decode_token(token)["sub"])
        self.assertEqual((found["preferred_username"], found["email"], found["email_verified"]), (USER, "alice@example.test", True))
        self.assertEqual(found["name"], "Alice Example")

    def test_without_the_scope_openid(self):
        token = backend().token(USER, PASSWORD, scope="email")["access_token"]
        self.refused(KeycloakGetError, 403, None, backend().userinfo, token)

    def test_nonsense(self):
        self.refused(KeycloakAuthenticationError, 401, None, backend().userinfo, "nonsense")


class Ending(Tests):
    def test_logout(self):
        server = backend()
        answer = server.token(USER, PASSWORD)
        self.assertEqual(server.logout(answer["refresh_token"]), {})
        text = self.refused(KeycloakPostError, 400, "invalid_grant", server.refresh_token, answer["refresh_token"])
        self.assertEqual(text, "Session not active")
        self.assertEqual(server.introspect(answer["access_token"]), {"active": False})
        self.refused(KeycloakAuthenticationError, 401, None, server.userinfo, answer["access_token"])

    def test_logout_of_a_public_client(self):
        answer = mobile().token(USER, PASSWORD)
        self.assertEqual(mobile().logout(answer["refresh_token"]), {})
        self.refused(KeycloakPostError, 400, "invalid_grant", mobile().refresh_token, answer["refresh_token"])

    def test_logout_leaves_other_sessions(self):
        server = backend()
        one, other = server.token(USER, PASSWORD), server.token(USER, PASSWORD)
        server.logout(one["refresh_token"])
        self.assertIn("access_token", server.refresh_token(other["refresh_token"]))

    def test_revocation_of_the_access_token(self):
        # The library has no method for the revocation endpoint; its own connection posts the form.
        server = backend()
        answer = server.token(USER, PASSWORD)
        form = {"client_id": "backend", "client_secret": "test-secret-backend", "token": answer["access_token"]}
        reply = server.connection.raw_post("realms/clients/protocol/openid-connect/revoke", data=form)
        self.assertEqual((reply.status_code, reply.content), (200, b""))
        self.assertEqual(server.introspect(answer["access_token"]), {"active": False})
        self.assertIn("access_token", server.refresh_token(answer["refresh_token"]))

    def test_revocation_of_the_refresh_token(self):
        server = backend()
        answer = server.token(USER, PASSWORD)
        form = {"client_id": "backend", "client_secret": "test-secret-backend", "token": answer["refresh_token"]}
        reply = server.connection.raw_post("realms/clients/protocol/openid-connect/revoke", data=form)
        self.assertEqual((reply.status_code, reply.content), (200, b""))
        self.refused(KeycloakPostError, 400, "invalid_grant", server.refresh_token, answer["refresh_token"])


class Async(unittest.IsolatedAsyncioTestCase):
    async def test_the_same_without_blocking(self):
        server = backend()
        answer = await server.a_token(USER, PASSWORD)
        answer = await server.a_refresh_token(answer["refresh_token"])
        self.assertEqual((await server.a_userinfo(answer["access_token"]))["preferred_username"], USER)
        self.assertIs((await server.a_introspect(answer["access_token"]))["active"], True)
        self.assertEqual(await server.a_logout(answer["refresh_token"]), {})
        self.assertEqual(await server.a_introspect(answer["access_token"]), {"active": False})


if __name__ == "__main__":
    unittest.main()
