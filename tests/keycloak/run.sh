#!/usr/bin/env bash
# Leaves for a real Keycloak, and comes back: what Grantor exports is imported there, and everybody logs in; what that
# Keycloak exports is imported here, and everybody logs in again.
#
#     tests/keycloak/run.sh [BINARY]
#
# Needs a JDK of version 17 or later, and Keycloak's archive, which comes from Maven Central at the first run (180 MB).
# Exit code 3 says which of them is missing.
set -euo pipefail

cd "$(dirname "$0")/../.."
binary=${1:-${CARGO_TARGET_DIR:-target}/release/grantor}
version=26.7.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/grantor-oracle
zip=$cache/keycloak-quarkus-dist-$version.zip
folder=${CARGO_TARGET_DIR:-target}/keycloak
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
exports=$PWD/crates/server/tests/exports

# The first JDK that is new enough: JAVA_HOME, the path, then the usual folders.
find_java() {
  local home major
  for home in "${JAVA_HOME:-}" "$(dirname "$(dirname "$(readlink -f "$(command -v java || true)")")")" /usr/lib/jvm/*; do
    [ -x "$home/bin/jar" ] || continue
    major=$("$home/bin/java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p;q')
    [ "${major:-0}" -ge 17 ] && { JAVA_HOME=$home; export JAVA_HOME; return; }
  done
  return 1
}
find_java || { echo "no JDK 17 or later is here (install: openjdk-17-jdk-headless, or set JAVA_HOME)"; exit 3; }

fetch() {
  local artifact=org/keycloak/keycloak-quarkus-dist/$version/keycloak-quarkus-dist-$version.zip
  mkdir -p "$cache"
  if command -v mvn >/dev/null; then
    timeout 600 mvn -q dependency:copy -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$cache" && return
  fi
  curl -fsSL --connect-timeout 10 -o "$zip.part" "https://repo1.maven.org/maven2/$artifact" && mv "$zip.part" "$zip"
}
[ -f "$zip" ] || fetch >&2 || { echo "Keycloak $version cannot be fetched from Maven Central"; exit 3; }

# shellcheck source=tests/support/server.sh
. tests/support/server.sh
new_server "$binary" "$folder/grantor"
rm -rf "$folder/home" "$folder/out" "$folder/back"
mkdir -p "$folder/home"
(cd "$folder/home" && "$JAVA_HOME/bin/jar" xf "$zip")
home=$(cd "$folder/home/keycloak-$version" && pwd)
chmod +x "$home"/bin/*.sh

keycloak_pid=
end_keycloak() {
  [ -z "$keycloak_pid" ] || { kill "$keycloak_pid" 2>/dev/null && wait "$keycloak_pid" 2>/dev/null; } || true
  keycloak_pid=
}
trap 'end_keycloak; kill_server' EXIT

# Becomes a command of Keycloak, whose settings are ours alone.
become_kc() {
  # shellcheck disable=SC2086
  unset ${!KC_@} ${!KEYCLOAK_@}
  export KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=admin JAVA_OPTS_APPEND=-Xmx512m
  exec "$home/bin/kc.sh" "$@" --db=dev-file
}

start_keycloak() {
  local port _
  port=$(free_ports 1)
  keycloak=http://127.0.0.1:$port
  become_kc start --http-enabled=true --hostname-strict=false --cache=local --http-host=127.0.0.1 --http-port="$port" \
    >"$folder/keycloak.log" 2>&1 &
  keycloak_pid=$!
  for _ in $(seq 240); do
    curl -fs -o /dev/null "$keycloak/realms/master" && return
    kill -0 "$keycloak_pid" 2>/dev/null || break
    sleep 0.5
  done
  echo "Keycloak did not get ready; the end of its log:" >&2
  tail -30 "$folder/keycloak.log" >&2
  return 1
}

echo "--- here: an export of 26.7, one of 16.1 under another name, and a realm that was made here"
python3 tests/keycloak/check.py rename "$exports/16.1.1/acme-realm.json" old "$folder/old-realm.json"
grantor realm import "$exports/26.7.0/acme-realm.json" "$folder/old-realm.json" | grep -v '^  '
grantor realm add made
secret=$(grantor client add machine --realm made --service-account --json | jq -r .secret)
grantor client add front --realm made --public --direct-access >/dev/null
printf 'Їжак-1' >"$folder/password"
grantor user add olena --realm made --email olena@example.org --first-name Olena --last-name Їжак \
  --password-file "$folder/password" >/dev/null

echo "--- out of here"
for realm in acme old made; do
  layout=different-files
  [ "$realm" = acme ] && layout=realm-file
  grantor realm export "$realm" --dir "$folder/out" --users "$layout" --users-per-file 20
done

echo "--- into Keycloak $version"
(become_kc import --dir "$folder/out") >"$folder/import.log" 2>&1 || { tail -40 "$folder/import.log"; exit 1; }
start_keycloak

echo "--- both are asked the same"
start_server
python3 tests/keycloak/check.py requests "$exports/26.7.0/truth.json" >"$folder/requests"
grantor_shadow() { "$server_binary" shadow --against "$keycloak" --here "$base" --realm acme --requests "$folder/requests"; }
grantor_shadow >"$folder/shadow" || { grep -v '^same' "$folder/shadow"; exit 1; }
tail -1 "$folder/shadow"
stop_server

echo "--- everybody logs in there"
python3 tests/keycloak/check.py moved "$keycloak" "$exports/26.7.0/truth.json" acme 0
python3 tests/keycloak/check.py moved "$keycloak" "$exports/16.1.1/truth.json" old 0
python3 tests/keycloak/check.py made "$keycloak" made "$secret"
python3 tests/keycloak/check.py keys "$keycloak" acme old made >"$folder/keys-there"
end_keycloak

echo "--- and back again"
(become_kc export --dir "$folder/back" --users different_files --users-per-file 10) >"$folder/export.log" 2>&1 \
  || { tail -40 "$folder/export.log"; exit 1; }
rm -f "$folder"/back/master-*
grantor realm import "$folder/back" --if-exists overwrite | grep -v '^  '
start_server
python3 tests/keycloak/check.py moved "$base" "$exports/26.7.0/truth.json" acme 1
python3 tests/keycloak/check.py moved "$base" "$exports/16.1.1/truth.json" old 1
python3 tests/keycloak/check.py made "$base" made "$secret"
python3 tests/keycloak/check.py keys "$base" acme old made >"$folder/keys-here"
diff "$folder/keys-there" "$folder/keys-here"
echo "the keys are the same"
stop_server
