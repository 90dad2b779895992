"""What is asked: the realms, and the requests that are measured.

The same requests work on Grantor and on Keycloak, so both can be asked.
"""

import base64
import json
from dataclasses import dataclass
from typing import Callable
from urllib.parse import urlencode

from generator import Load
from servers import Failed, call

REALM, ROTATING = "load", "load-rotating"
ALGORITHMS = ("RS256", "ES256", "EdDSA")
USER, PASSWORD = "alice", "test-password-alice"
APP = "load-app"

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
    return [
        {
            "realm": name,
            "enabled": True,
            "sslRequired": "external",
            "revokeRefreshToken": name == ROTATING,
            "clients": [*services, app],
            "users": [{**user, "realmRoles": [f"default-roles-{name}"]}],
        }
        for name in (REALM, ROTATING)
    ]


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
    Case("userinfo", "userinfo", userinfo),
    Case("introspection", "introspection", introspection),
    Case("key-set", "key set", key_set),
]
