"""What must be true of a server that realms moved to. Called by run.sh; the Python standard library is enough.

    check.py rename FILE REALM TO          the realm of an export under another name
    check.py moved URL TRUTH REALM ROUND   each password, one-time code and client secret of an export
    check.py requests TRUTH                token requests for `grantor shadow`
    check.py made URL REALM SECRET         the realm that was made by Grantor's own commands
    check.py keys URL REALM…               the keys that verify signatures, by kid
"""

import base64
import hashlib
import hmac
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def post(url, form):
    """Status and JSON of an answer."""
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def token(url, realm, **form):
    return post(f"{url}/realms/{realm}/protocol/openid-connect/token", form)


def claims(answer):
    part = answer["access_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def code(otp, moving):
    digest = {"HmacSHA256": hashlib.sha256, "HmacSHA512": hashlib.sha512}.get(otp["algorithm"], hashlib.sha1)
    tag = hmac.new(bytes.fromhex(otp["key_hex"]), moving.to_bytes(8, "big"), digest).digest()
    at = tag[-1] & 15
    word = int.from_bytes(tag[at : at + 4], "big") & 0x7FFFFFFF
    return str(word % 10 ** otp["digits"]).zfill(otp["digits"])


def rename(file, realm, to):
    def renamed(value):
        match value:
            case dict():
                return {name: renamed(inner) for name, inner in value.items()}
            case list():
                return [renamed(inner) for inner in value]
            case "acme":
                return realm
            case str():
                return value.replace("/realms/acme", f"/realms/{realm}").replace("default-roles-acme", f"default-roles-{realm}")
        return value

    with open(file) as source, open(to, "w") as target:
        json.dump(renamed(json.load(source)), target)


def moved(url, truth, realm, number):
    with open(truth) as file:
        truth = json.load(file)
    wrong, logins, codes, refusals, secrets = [], 0, 0, 0, 0
    web = {"client_id": "registry-web", "client_secret": truth["clients"]["registry-web"]["secret"], "scope": "openid"}
    for name, user in truth["users"].items():
        form = {"grant_type": "password", "username": user["username"], "password": user["password"] or "x", **web}
        otp = user.get("otp")
        if otp:
            # A code is good once: the next time it is the next counter's.
            counter = otp["counter"] + int(number) if otp["type"] == "hotp" else int(time.time()) // otp["period"]
            form["totp"] = code(otp, counter)
            codes += 1
        status, answer = token(url, realm, **form)
        said = answer.get("error_description")
        if name == "no.email":
            # Without an address the profile is asked for, in realms whose required actions say so.
            if status != 200 and said != "Account is not fully set up":
                wrong.append(f"{name}: {status} {answer}")
        elif user["password"] is None:
            if (status, said) not in [(400, "Invalid user credentials"), (401, "Invalid user credentials")]:
                wrong.append(f"{name}, who has no password: {status} {answer}")
            refusals += 1
        elif "source_answer" in user:
            if said != user["source_answer"][2]:
                wrong.append(f"{name}: {status} {answer}, at the source {user['source_answer']}")
            refusals += 1
        elif status != 200:
            wrong.append(f"{name}: {status} {answer}")
        else:
            logins += 1
            if claims(answer)["sub"] != user["id"]:
                wrong.append(f"{name}: another sub")
    for name, client in truth["clients"].items():
        if client.get("authenticator") != "client-secret" or not client.get("secret") or name in ("disabled-client", "saml-legacy"):
            continue
        path = f"{url}/realms/{realm}/protocol/openid-connect/token/introspect"
        form = {"token": "none", "client_id": name, "client_secret": client["secret"]}
        status, answer = post(path, form)
        secrets += 1
        if (status, answer) != (200, {"active": False}):
            wrong.append(f"client {name}: {status} {answer}")
    print(f"{realm}: {logins} users log in, {codes} of them with a code, {refusals} are refused as before, {secrets} secrets hold")
    sys.exit("\n".join(wrong) if wrong else 0)


def requests(truth):
    with open(truth) as file:
        truth = json.load(file)
    web = {"client_id": "registry-web", "client_secret": truth["clients"]["registry-web"]["secret"]}
    for user in truth["users"].values():
        # An account that fails twice within a second is locked for a while.
        if user["password"] and not user.get("otp"):
            form = {"grant_type": "password", "username": user["username"], "password": user["password"], "scope": "openid", **web}
            print(urllib.parse.urlencode(form))
    for name, client in truth["clients"].items():
        if client.get("secret"):
            form = {"grant_type": "client_credentials", "client_id": name, "client_secret": client["secret"]}
            print(urllib.parse.urlencode(form))
            print(urllib.parse.urlencode(form | {"client_secret": "wrong"}))
    print("grant_type=unknown&client_id=registry-web")


def made(url, realm, secret):
    status, answer = token(url, realm, grant_type="client_credentials", client_id="machine", client_secret=secret)
    assert status == 200, answer
    status, answer = token(url, realm, grant_type="password", client_id="front", username="olena", password="Їжак-1")
    assert status == 200, answer
    seen = claims(answer)
    assert seen["preferred_username"] == "olena" and "offline_access" in seen["realm_access"]["roles"], seen
    print(f"{realm}: the client and the user that were made here")


def keys(url, *realms):
    for realm in realms:
        with urllib.request.urlopen(f"{url}/realms/{realm}/protocol/openid-connect/certs", timeout=60) as answer:
            for key in sorted(json.load(answer)["keys"], key=lambda key: key["kid"]):
                print(realm, key["kid"], key["kty"], key["alg"], key["use"], key.get("n", key.get("x")))


globals()[sys.argv[1]](*sys.argv[2:])
