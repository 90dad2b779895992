"""Authlib, unmodified, makes a partner's assertions (RFC 7523) for a server that has the realm of ../realm.json.

    BASE_URL=http://127.0.0.1:8080 python -m unittest -v test_authlib
"""
import os
import unittest
import uuid
from pathlib import Path

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523.assertion import sign_jwt_bearer_assertion

BASE = os.environ["BASE_URL"].rstrip("/")
REALM = f"{BASE}/realms/clients/protocol/openid-connect"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
KEYS = Path(__file__).parent.parent


def assertion(partner="partner-rsa", alg="RS256", audience=f"{BASE}/realms/clients", key=None, **claims):
    text = (KEYS / f"{key or partner}.pem").read_text()
    return sign_jwt_bearer_assertion(
        key=text,
        issuer=f"https://{partner}.example.test",
        audience=audience,
        subject="ada-there",
        expires_at=claims.pop("expires_at", None),
        claims={"jti": str(uuid.uuid4()), **claims},
        header={"alg": alg},
    )


def session(method="client_secret_basic"):
    return OAuth2Session("orders", "test-secret-orders", token_endpoint_auth_method=method)


def exchange(text, endpoint=f"{REALM}/token", **more):
    return session().fetch_token(endpoint, grant_type=GRANT, assertion=text, **more)


class Tests(unittest.TestCase):
    def refused(self, error, description, text):
        with self.assertRaises(OAuthError) as raised:
            exchange(text)
        self.assertEqual((raised.exception.error, raised.exception.description), (error, description))

    def test_an_assertion_becomes_a_token(self):
        for partner, alg in [("partner-rsa", "RS256"), ("partner-ec", "ES256")]:
            with self.subTest(partner):
                token = exchange(assertion(partner, alg), scope="openid")
                self.assertEqual(token["token_type"], "Bearer")
                self.assertNotIn("refresh_token", token)
                claims = session()
                claims.token = token
                told = claims.get(f"{REALM}/userinfo").json()
                self.assertEqual(told["preferred_username"], "alice")

    def test_what_does_not_hold_is_told(self):
        self.refused("invalid_grant", "Invalid signature", assertion(key="partner-ec", alg="ES256"))
        self.refused("invalid_grant", "Invalid token audience", assertion(audience="https://other.example.test"))
        self.refused("invalid_grant", "Token is not active", assertion(expires_at=1_700_000_000))
        once = assertion()
        exchange(once)
        self.refused("invalid_grant", "Token reuse detected", once)

    def test_the_other_face(self):
        endpoint = f"{BASE}/t/clients/oauth2/token"
        token = exchange(assertion(), endpoint=endpoint)
        self.assertNotIn(".", token["access_token"])
        next_token = session().refresh_token(endpoint, refresh_token=token["refresh_token"])
        self.assertNotEqual(next_token["access_token"], token["access_token"])
        told = session().introspect_token(f"{BASE}/t/clients/oauth2/introspect", token=next_token["access_token"]).json()
        self.assertEqual((told["active"], told["username"]), (True, "alice"))
