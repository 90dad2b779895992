"""What is asked: the realms, and the requests that are measured.

The same requests work on Grantor and on Keycloak, so both can be asked.
"""

import base64
import json
import sys
import time
from dataclasses import dataclass
from typing import Callable
from urllib.parse import urlencode

from generator import Load
from servers import REPOSITORY, Failed, call

sys.path.insert(0, str(REPOSITORY / "tests/oracle/corpus"))
from comparelib import jose

REALM, ROTATING = "load", "load-rotating"
ALGORITHMS = ("RS256", "ES256", "EdDSA")
USER, PASSWORD = "alice", "test-password-alice"
APP = "load-app"

# Partners whose assertions are exchanged, by the algorithm that they sign with, and the test keys they do it with.
PARTNERS = {"RS256": "partner-rsa", "ES256": "client-ec"}
KEYS = json.loads((REPOSITORY / "tests/oracle/corpus/keys.json").read_text())

# So many sessions take turns: one alone would be one row that all callers wait for.
SESSIONS = 32

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def secret(client):
    return f"test-secret-{client}"


def realms():
    """Two realms that differ in whether a refresh token can be used twice."""

    def client(name, **more):
        return {
            "clientId": name,
            "enabled": True,
            "protocol": "openid-connect",
            "publicClient": False,
            "clientAuthenticatorType": "client-secret",
            "secret": secret(name),
            "standardFlowEnabled": False,
            "directAccessGrantsEnabled": False,
            "serviceAccountsEnabled": False,
            "fullScopeAllowed": True,
            **more,
        }

    services = [
        client(
            f"load-{algorithm.lower()}",
            serviceAccountsEnabled=True,
            attributes={"access.token.signed.response.alg": algorithm},
        )
        for algorithm in ALGORITHMS
    ]
    user = {
        "username": USER,
        "enabled": True,
        "email": "alice@example.test",
        "emailVerified": True,
        "firstName": "Alice",
        "lastName": "Example",
        "credentials": [{"type": "password", "value": PASSWORD}],
    }
    # Who asks about a token must be among its audience.
    audience = {
        "name": "audience",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {"included.client.audience": APP, "access.token.claim": "true", "introspection.token.claim": "true"},
    }
    app = client(APP, directAccessGrantsEnabled=True, protocolMappers=[audience])
    names = "##".join(algorithm.lower() for algorithm in PARTNERS)
    grant = {"oauth2.jwt.authorization.grant.enabled": "true", "oauth2.jwt.authorization.grant.idp": names}
    orders = client("load-orders", attributes=grant)
    partners = [partner(algorithm) for algorithm in PARTNERS]
    return [
        {
            "realm": name,
            "enabled": True,
            "sslRequired": "external",
            "revokeRefreshToken": name == ROTATING,
            "clients": [*services, app, orders],
            "identityProviders": partners,
            "users": [
                {
                    **user,
                    "realmRoles": [f"default-roles-{name}"],
                    "federatedIdentities": [
                        {"identityProvider": one["alias"], "userId": "alice-there", "userName": "alice"}
                        for one in partners
                    ],
                }
            ],
        }
        for name in (REALM, ROTATING)
    ]


def partner(algorithm):
    """An identity provider as Keycloak has it. Its assertions may be used again, since no generator signs fast enough."""
    alias = algorithm.lower()
    jwk = KEYS[PARTNERS[algorithm]]
    public = {name: value for name, value in jwk.items() if name not in ("d", "p", "q", "dp", "dq", "qi")}
    return {
        "alias": alias,
        "providerId": "oidc",
        "enabled": True,
        "config": {
            "issuer": f"https://{alias}.example.test",
            "clientId": "grantor",
            "clientSecret": "test-secret",
            "authorizationUrl": "https://partner.example.test/auth",
            "tokenUrl": "https://partner.example.test/token",
            "validateSignature": "true",
            "useJwksUrl": "false",
            "publicKeySignatureVerifier": pem(public),
            "jwtAuthorizationGrantEnabled": "true",
            "jwtAuthorizationGrantAssertionReuseAllowed": "true",
            "jwtAuthorizationGrantMaxAllowedAssertionExpiration": "3600",
        },
    }


def pem(jwk):
    """A public key as Keycloak's setting has it: SubjectPublicKeyInfo (RFC 5280), in PEM."""

    def der(tag, content):
        size = len(content)
        length = bytes([size]) if size < 128 else (lambda raw: bytes([128 + len(raw)]) + raw)(
            size.to_bytes((size.bit_length() + 7) // 8, "big")
        )
        return bytes([tag]) + length + content

    def whole(name):
        raw = jose.unb64url(jwk[name])
        return der(2, b"\0" + raw if raw[0] & 128 else raw)

    if jwk["kty"] == "RSA":
        kind = bytes.fromhex("300d06092a864886f70d0101010500")
        key = der(48, whole("n") + whole("e"))
    else:
        kind = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
        key = b"\4" + jose.unb64url(jwk["x"]) + jose.unb64url(jwk["y"])
    body = base64.b64encode(der(48, kind + der(3, b"\0" + key))).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----"


def assertion(server, algorithm):
    now = int(time.time())
    claims = {
        "iss": f"https://{algorithm.lower()}.example.test",
        "sub": "alice-there",
        "aud": f"{server.base}/realms/{REALM}",
        "iat": now,
        "exp": now + 3000,
        "jti": "again and again",
    }
    return jose.sign({"alg": algorithm}, claims, KEYS[PARTNERS[algorithm]])


def exchange(algorithm):
    def make(server):
        """One assertion again and again: what is measured is a verification, the user, and a signature."""
        text = assertion(server, algorithm)
        form = {"grant_type": GRANT, **credentials("load-orders"), "assertion": text}
        load = Load(path("token"), headers=FORM, bodies=[urlencode(form)])
        answered(server, load, "access_token")
        return load

    return make


GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def path(endpoint, realm=REALM):
    return f"/realms/{realm}/protocol/openid-connect/{endpoint}"


def credentials(client):
    return {"client_id": client, "client_secret": secret(client)}


def answered(server, load, member):
    """Asks once, so that no error is measured, and gives a member of the answer."""
    body = load.bodies[0].encode() if load.bodies else None
    status, answer = call(server.base + load.path, headers=load.headers, body=body, method=load.method)
    if status != 200 or not isinstance(answer, dict) or not answer.get(member):
        raise Failed(f"{load.method} {load.path} answers {status} {answer}")
    return answer[member]


def login(realm, scope=None):
    form = {"grant_type": "password", **credentials(APP), "username": USER, "password": PASSWORD}
    if scope:
        form["scope"] = scope
    return Load(path("token", realm), headers=FORM, bodies=[urlencode(form)])


def service(algorithm):
    def make(server):
        form = {"grant_type": "client_credentials", **credentials(f"load-{algorithm.lower()}")}
        load = Load(path("token"), headers=FORM, bodies=[urlencode(form)])
        token = answered(server, load, "access_token")
        header = token.partition(".")[0]
        used = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["alg"]
        if used != algorithm:
            raise Failed(f"the token is signed with {used}, not {algorithm}")
        return load

    return make


def password(server):
    load = login(REALM)
    answered(server, load, "access_token")
    return load


def refresh(realm):
    def make(server):
        tokens = [answered(server, login(realm), "refresh_token") for _ in range(SESSIONS)]
        form = {"grant_type": "refresh_token", **credentials(APP)}
        bodies = [urlencode({**form, "refresh_token": token}) for token in tokens]
        load = Load(path("token", realm), headers=FORM, bodies=bodies, follows=realm == ROTATING)
        if not load.follows:
            answered(server, load, "access_token")
        return load

    return make


def userinfo(server):
    token = answered(server, login(REALM, "openid"), "access_token")
    load = Load(path("userinfo"), method="GET", headers={"Authorization": f"Bearer {token}"})
    answered(server, load, "sub")
    return load


def introspection(server):
    token = answered(server, login(REALM), "access_token")
    form = {**credentials(APP), "token": token}
    load = Load(path("token/introspect"), headers=FORM, bodies=[urlencode(form)])
    answered(server, load, "active")
    return load


def key_set(server):
    load = Load(path("certs"), method="GET")
    answered(server, load, "keys")
    return load


@dataclass
class Case:
    """A request that is measured."""

    name: str
    title: str
    make: Callable
    """Prepares what is sent to a server, and tries it."""
    signs: str | None = None
    """The algorithm of its one signature, when the bare server does the same work."""
    databases: tuple = ("SQLite",)


CASES = [
    Case("client-credentials-RS256", "client credentials, RS256", service("RS256"), signs="RS256"),
    Case("client-credentials-ES256", "client credentials, ES256", service("ES256"), signs="ES256"),
    Case("client-credentials-EdDSA", "client credentials, EdDSA", service("EdDSA"), signs="EdDSA"),
    Case("password", "password (Argon2id, 7 MiB, 5 passes)", password),
    Case("refresh", "refresh", refresh(REALM), databases=("SQLite", "PostgreSQL")),
    Case("refresh-rotating", "refresh with rotation", refresh(ROTATING), databases=("SQLite", "PostgreSQL")),
    Case("jwt-bearer-RS256", "JWT bearer, RS256 in, RS256 out", exchange("RS256"), signs="RS256"),
    Case("jwt-bearer-ES256", "JWT bearer, ES256 in, RS256 out", exchange("ES256"), signs="RS256"),
    Case("userinfo", "userinfo", userinfo),
    Case("introspection", "introspection", introspection),
    Case("key-set", "key set", key_set),
]
