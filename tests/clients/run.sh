#!/usr/bin/env bash
# Runs client programs written for Keycloak, unmodified, against a server that has the realm of realm.json:
# python-keycloak and Authlib (python/), openid-client with jose (node/), in the versions of their lock files.
#
#     tests/clients/run.sh http://127.0.0.1:8080
#
# What they need is installed below target/clients and used again until a lock file changes.
# Exit codes: 0 all passed, 1 something failed, 2 wrong usage, 3 a tool is missing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { echo "usage: tests/clients/run.sh BASE_URL" >&2; exit 2; }
export BASE_URL=${1%/}

# What is missing is said before anything is installed.
missing=()
python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null ||
  missing+=("python3 (3.9 or later) with venv (Debian: python3-venv)")
command -v curl >/dev/null || missing+=("curl")
command -v node >/dev/null && command -v npm >/dev/null || missing+=("node and npm (Debian: nodejs npm)")
node_major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)
[ "${node_major:-18}" -ge 18 ] || missing+=("node 18 or later, not $(node --version)")
if [ ${#missing[@]} -gt 0 ]; then
  printf 'the client tests need %s\n' "${missing[@]}" >&2
  exit 3
fi

curl -fsS --max-time 10 -o /dev/null "$BASE_URL/realms/clients" ||
  { echo "$BASE_URL has no realm clients: import $here/realm.json first" >&2; exit 1; }
build=${CARGO_TARGET_DIR:-$here/../../target}/clients
mkdir -p "$build"
build=$(cd "$build" && pwd)

# install FOLDER STAMP COMMAND…: runs the command in a new FOLDER, unless FOLDER was made with the same STAMP.
install() {
  local folder=$1 stamp=$2
  shift 2
  [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ] && return
  rm -rf "$folder"
  mkdir -p "$folder"
  (cd "$folder" && "$@")
  echo "$stamp" >"$folder/.stamp"
}

install_python() {
  python3 -m venv .
  bin/python -m pip install --quiet --disable-pip-version-check --requirement "$here/python/requirements.txt"
}

install_node() {
  cp "$here"/node/package.json "$here"/node/package-lock.json .
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
}

run_python() {
  PYTHONDONTWRITEBYTECODE=1 "$build/python/bin/python" -m unittest discover --start-directory "$here/python" 2>&1
}

# Modules are looked for beside the file that imports them. Node 18 hides the web crypto interface behind an option.
run_node() {
  cp "$here/node/test.mjs" "$build/node/"
  [ "$node_major" -ge 20 ] || export NODE_OPTIONS="${NODE_OPTIONS:-} --experimental-global-webcrypto"
  (cd "$build/node" && PARTNER_KEYS=$here node --test --test-reporter=spec test.mjs)
}

version_of() { sed -n "s/^$1==//p" "$here/python/requirements.txt"; }
module_version() { sed -n 's/^  "version": "\(.*\)",\{0,1\}$/\1/p' "$build/node/node_modules/$1/package.json"; }

install "$build/python" "$(python3 --version) $(cksum <"$here/python/requirements.txt")" install_python
install "$build/node" "$(node --version) $(cat "$here"/node/package*.json | cksum)" install_node

failed=()
echo "python-keycloak $(version_of python-keycloak), Authlib $(version_of Authlib) on $(python3 --version) against $BASE_URL"
run_python || failed+=(python-keycloak)
echo
echo "openid-client $(module_version openid-client), jose $(module_version jose) on Node $(node --version) against $BASE_URL"
run_node || failed+=(openid-client)

echo
[ ${#failed[@]} -eq 0 ] || { echo "client tests FAILED: ${failed[*]}"; exit 1; }
echo "client tests: python-keycloak and openid-client passed"
