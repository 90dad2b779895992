//! Realms that move in and out by commands: layouts, placeholders, bad files, an import that is cut off.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const ACME: &str = include_str!("exports/26.7.0/acme-realm.json");

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("grantor-moving-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn grantor(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grantor"));
        command.env_clear().env("GRANTOR_SERVER_DATA", self.0.join("data")).current_dir(&self.0);
        command
    }

    /// Exit code, standard output, standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let output = self.grantor().args(arguments).envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn import(&self, path: &Path) -> (i32, String, String) {
        self.run(&["realm", "import", path.to_str().unwrap()])
    }

    fn realms(&self) -> Vec<String> {
        let (code, out, err) = self.run(&["realm", "list", "--json"]);
        assert_eq!(code, 0, "{err}");
        let rows: Value = serde_json::from_str(&out).unwrap();
        rows.as_array().unwrap().iter().map(|row| row["realm"].as_str().unwrap().to_owned()).collect()
    }

    fn exported(&self, realm: &str, into: &str) -> String {
        let (code, _, err) = self.run(&["realm", "export", realm, "--dir", into]);
        assert_eq!(code, 0, "{err}");
        fs::read_to_string(self.0.join(into).join(format!("{realm}-realm.json"))).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A small realm with a number of users.
fn small(realm: &str, users: std::ops::Range<usize>) -> Value {
    let users: Vec<Value> = users
        .map(|number| {
            json!({"username": format!("user-{number}"), "enabled": true, "email": format!("user-{number}@acme.example"),
                "firstName": "User", "lastName": number.to_string(),
                "attributes": {"number": [number.to_string()]},
                "credentials": [{"type": "password", "credentialData":
                    "{\"hashIterations\":1,\"algorithm\":\"pbkdf2-sha256\"}",
                    "secretData": "{\"value\":\"c2VjcmV0\",\"salt\":\"c2FsdA==\"}"}]})
        })
        .collect();
    json!({"realm": realm, "enabled": true, "users": users})
}

#[test]
fn all_layouts_of_an_export_give_the_same_realm() {
    let whole = Folder::new("whole");
    whole.import(&whole.file("acme-realm.json", format!("\u{feff}{ACME}")));
    let first = whole.exported("acme", "first");
    for (name, layout) in [("same", "same-file"), ("many", "different-files"), ("old-name", "different_files")] {
        let files = ["realm", "export", "acme", "--dir", name, "--users", layout, "--users-per-file", "7"];
        let (code, out, err) = whole.run(&files);
        assert_eq!(code, 0, "{out}{err}");
        let count = fs::read_dir(whole.0.join(name)).unwrap().count();
        assert_eq!(count, if layout == "same-file" { 2 } else { 9 });
        for file in fs::read_dir(whole.0.join(name)).unwrap() {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let other = Folder::new(name);
        assert_eq!(other.import(&whole.0.join(name)).0, 0);
        assert!(other.exported("acme", "again") == first, "{layout}");
    }
    // A list of realms, as `--file` of Keycloak writes all of them.
    let list = Folder::new("list");
    let file = list.file("all.json", format!("[{},{first},{}]", small("one", 0..3), small("two", 3..5)));
    let (code, out, err) = list.import(&file);
    assert_eq!(
        (code, list.realms()),
        (0, vec!["acme".to_owned(), "master".into(), "one".into(), "two".into()]),
        "{err}"
    );
    assert!(out.contains("one: ") && out.contains(" 3 users"), "{out}");
    assert!(list.exported("acme", "again") == first);
    let (code, _, err) = list.run(&["realm", "export", "acme", "--dir", "again"]);
    assert_eq!(code, 1);
    assert!(err.contains("acme-realm.json already"), "{err}");
}

#[test]
fn a_dry_run_reports_and_changes_nothing() {
    let folder = Folder::new("dry");
    let file = folder.file("acme-realm.json", ACME);
    let (code, out, err) = folder.run(&["realm", "import", file.to_str().unwrap(), "--dry-run"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("acme (dry run, nothing was changed): 36 clients,"), "{out}");
    assert!(out.contains("54 users, 14 keys") && out.contains("differs: ") && out.contains("kept, not acted on yet"));
    assert_eq!(folder.realms(), ["master"]);
    let (code, out, _) = folder.run(&["realm", "import", file.to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report[0]["users"]), (0, &json!(54)));
    let (code, _, err) = folder.run(&["realm", "import", file.to_str().unwrap(), "--dry-run"]);
    assert_eq!(code, 1);
    assert!(err.contains("there is a realm \"acme\" already") && err.contains("--if-exists"), "{err}");
    let skipped = folder.run(&["realm", "import", file.to_str().unwrap(), "--if-exists", "skip"]);
    assert_eq!(skipped, (0, "acme: there already, left as it is\n".to_owned(), String::new()));
}

#[test]
fn what_guarded_access_and_is_not_acted_on_is_told_by_the_exit_code() {
    let folder = Folder::new("guards");
    let mut realm = small("acme", 0..1);
    realm["keycloakVersion"] = json!("26.7.0");
    realm["clientPolicies"] = json!({"policies": [{"name": "strict", "enabled": true}]});
    let file = folder.file("acme-realm.json", realm.to_string());
    for (options, hint) in [(vec!["--dry-run"], "the report names it"), (vec![], "the rest was imported")] {
        let arguments: Vec<&str> = ["realm", "import", file.to_str().unwrap()].into_iter().chain(options).collect();
        let (code, out, err) = folder.run(&arguments);
        assert_eq!(code, 2, "{err}");
        assert!(out.contains("guards access, not acted on: the client policy \"strict\" is not applied"), "{out}");
        assert!(err.contains("something that guarded access") && err.contains(hint), "{err}");
    }
    assert_eq!(folder.realms(), ["acme", "master"]);
}

#[test]
fn placeholders_come_from_the_environment_but_for_our_own() {
    let folder = Folder::new("placeholders");
    let file = folder.file(
        "realm.json",
        r#"{"realm": "${REALM}", "enabled": ${ENABLED:true}, "displayName": "${NAME,OTHER:none} ${role_admin}",
            "clients": [{"clientId": "app", "secret": "${SECRET}", "description": "${GRANTOR_MASTER_KEY:hidden}"}]}"#,
    );
    let variables = [("REALM", "acme"), ("OTHER", "Acme"), ("SECRET", "a\"b"), ("GRANTOR_MASTER_KEY", "")];
    let (code, out, err) = folder.run_with(&["realm", "import", file.to_str().unwrap()], &variables[..3]);
    assert_eq!(code, 0, "{out}{err}");
    let realm: Value = serde_json::from_str(&folder.exported("acme", "out")).unwrap();
    assert_eq!(realm["displayName"], "Acme ${role_admin}");
    assert_eq!(realm["enabled"], true);
    let clients = realm["clients"].as_array().unwrap();
    let client = clients.iter().find(|client| client["clientId"] == "app").unwrap();
    assert_eq!((&client["secret"], &client["description"]), (&json!("a\"b"), &json!("hidden")));
}

/// A file that is refused, and what is said.
fn refused(folder: &Folder, name: &str, content: impl AsRef<[u8]>, said: &str) {
    let file = folder.file(name, content);
    for options in [vec!["--if-exists", "overwrite", "--dry-run"], vec!["--if-exists", "overwrite"]] {
        let arguments: Vec<&str> = ["realm", "import", file.to_str().unwrap()].into_iter().chain(options).collect();
        let (code, out, err) = folder.run(&arguments);
        assert_eq!(code, 1, "{name}: {out}{err}");
        assert!(err.starts_with("error: ") && err.contains(said), "{name}: {err}");
        assert!(err.lines().count() <= 3 && !err.contains("panicked"), "{name}: {err}");
    }
    fs::remove_file(file).unwrap();
}

#[test]
fn a_bad_file_gets_one_clear_error_and_changes_nothing() {
    let folder = Folder::new("bad");
    folder.import(&folder.file("good.json", small("acme", 0..3).to_string()));
    let before = folder.exported("acme", "before");
    let acme = |member: &str, value: Value| {
        let mut realm = small("acme", 0..3);
        realm[member] = value;
        realm.to_string()
    };
    refused(&folder, "cut.json", &ACME[..ACME.len() / 2], "it ends too early, is it whole?");
    refused(&folder, "cut-users.json", &ACME[..ACME.len() - 3], "it ends too early");
    refused(&folder, "twice.json", format!("{ACME}{ACME}"), "trailing characters");
    refused(&folder, "empty.json", "", "it ends too early");
    refused(&folder, "number.json", "7", "expected a realm");
    refused(&folder, "numbers.json", "[7]", "expected a realm");
    refused(&folder, "nameless.json", "{}", "a member \"realm\" with its name");
    refused(&folder, "folder.zip", b"PK\x03\x04\x14\x00rest", "a ZIP archive: unpack it first");
    refused(&folder, "old.bin", b"\xac\xed\x00\x05sr\x00", "Java's own binary format");
    refused(&folder, "utf16.json", b"\xff\xfe{\x00}\x00", "UTF-16");
    refused(&folder, "latin.json", b"{\"realm\": \"a\xe4\"}", "invalid unicode");
    refused(&folder, "database.json", b"SQLite format 3\x00\x10", "binary");
    refused(
        &folder,
        "long.json",
        format!("{{\"realm\": \"acme\", \"displayName\": \"{}\"}}", "x".repeat(50 << 20)),
        "longer than 4 MiB",
    );
    refused(
        &folder,
        "deep.json",
        format!("{{\"realm\": \"acme\", \"x\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000)),
        "recursion limit",
    );
    refused(&folder, "member.json", r#"{"realm": "acme", "enabled": true, "enabled": false}"#, "\"enabled\" twice");
    refused(&folder, "bad-name.json", acme("realm", json!("a/b")), "a/b");
    for (member, value, said) in [
        ("enabled", json!("maybe"), "realm settings"),
        ("clients", json!("none"), "\"clients\""),
        ("clients", json!([{"clientId": 7}]), "\"clients\""),
        ("clients", json!([{}]), "no clientId"),
        ("clients", json!([{"clientId": "a"}, {"clientId": "a"}]), "two clients are called \"a\""),
        (
            "clients",
            json!([{"clientId": "a", "id": "x"}, {"clientId": "b", "id": "x"}]),
            "the id \"x\" of a client occurs twice",
        ),
        ("clientScopes", json!([{"name": "a"}, {"name": "a"}]), "two client scopes are called \"a\""),
        ("identityProviders", json!([{"alias": "a"}, {"alias": "a"}]), "two identity providers are called \"a\""),
        ("roles", json!({"realm": [{"name": "a"}, {"name": "a"}]}), "two realm roles are called \"a\""),
        (
            "roles",
            json!({"client": {"account": [{"name": "a"}, {"name": "a"}]}}),
            "two roles of client \"account\" are called \"a\"",
        ),
        ("roles", json!("none"), "\"roles\""),
        ("groups", json!([{"name": "a"}, {"name": "a"}]), "two groups are called \"/a\""),
        // A group below itself can be written only by its id.
        (
            "groups",
            json!([{"name": "a", "id": "g", "subGroups": [{"name": "b", "id": "g"}]}]),
            "the id \"g\" of a group occurs twice",
        ),
        ("users", json!({}), "a list of users"),
        ("users", json!([{"username": ["a"]}]), "invalid type"),
        ("users", json!([{"enabled": true}]), "no username"),
        ("users", json!([{"username": "a"}, {"username": "A "}]), "two users are called \"a\""),
        (
            "users",
            json!([{"username": "a", "id": "x"}, {"username": "b", "id": "x"}]),
            "the id \"x\" of a user occurs twice",
        ),
        ("users", json!([{"username": "a", "id": "x\u{0}y"}]), "a user"),
    ] {
        refused(&folder, &format!("{member}.json"), acme(member, value), said);
    }
    let many: Vec<Value> = (0..2_500).chain([17]).map(|n| json!({"username": format!("u{n}")})).collect();
    refused(&folder, "many.json", acme("users", json!(many)), "two users are called \"u17\"");
    refused(&folder, "list.json", "[]", "there is no realm in what was named");
    refused(&folder, "acme-users-3.json", r#"{"realm": "acme", "users": []}"#, "acme-realm.json is missing");
    let (code, _, err) = folder.run(&["realm", "import", "nowhere.json"]);
    assert!(code == 1 && err.contains("nowhere.json: cannot be read"), "{err}");
    folder.file("none/readme.txt", "");
    let (code, _, err) = folder.run(&["realm", "import", "none"]);
    assert!(code == 1 && err.contains("none has no *.json file"), "{err}");
    assert_eq!(folder.realms(), ["acme", "master"]);
    assert!(folder.exported("acme", "after") == before, "nothing was changed");
}

#[test]
fn ids_of_another_realm_are_refused() {
    let folder = Folder::new("ids");
    let file = folder.file("a.json", json!({"realm": "a", "users": [{"username": "u", "id": "same"}]}).to_string());
    assert_eq!(folder.import(&file).0, 0);
    let file = folder.file("b.json", json!({"realm": "b", "users": [{"username": "u", "id": "same"}]}).to_string());
    let (code, _, err) = folder.import(&file);
    assert!(code == 1 && err.contains("realm b: another realm has an id of this file already"), "{err}");
    assert_eq!(folder.realms(), ["a", "master"]);
}

/// Roles that are composed of each other come in, as they do in Keycloak 26.7.
#[test]
fn composites_in_a_circle_end() {
    let folder = Folder::new("circle");
    let mut realm = small("acme", 0..1);
    realm["roles"] = json!({"realm": [
        {"name": "a", "composite": true, "composites": {"realm": ["b"]}},
        {"name": "b", "composite": true, "composites": {"realm": ["a", "b"]}}]});
    realm["users"][0]["realmRoles"] = json!(["a"]);
    realm["users"][0]["credentials"] = json!([{"type": "password", "value": "p"}]);
    realm["clients"] = json!([{"clientId": "app", "publicClient": true, "directAccessGrantsEnabled": true}]);
    assert_eq!(folder.import(&folder.file("acme.json", realm.to_string())).0, 0);
    let server = Server::start(&folder, &[]);
    let answer = server.login("acme", "user-0", "p");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(folder: &Folder, options: &[&str]) -> Self {
        let mut command = folder.grantor();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off", "--gateway-listen", "off"])
            .args(options);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(process.stdout.take().unwrap()));
        let issuer = lines.map_while(Result::ok).find(|line| line.contains("issuer")).expect("a line with the issuer");
        let address = issuer.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self(process, address)
    }

    fn login(&self, realm: &str, username: &str, password: &str) -> String {
        let mut stream = std::net::TcpStream::connect(&self.1).unwrap();
        let body = format!("grant_type=password&client_id=app&username={username}&password={password}");
        write!(
            stream,
            "POST /realms/{realm}/protocol/openid-connect/token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn a_start_imports_what_is_not_there_yet() {
    let folder = Folder::new("start");
    let mut realm = small("acme", 0..1);
    realm["users"][0]["credentials"] = json!([{"type": "password", "value": "first"}]);
    realm["clients"] = json!([{"clientId": "app", "publicClient": true, "directAccessGrantsEnabled": true}]);
    folder.file("realms/acme.json", realm.to_string());
    let server = Server::start(&folder, &["--import-realm", "realms"]);
    assert!(server.login("acme", "user-0", "first").starts_with("HTTP/1.1 200"));
    drop(server);
    realm["users"][0]["credentials"] = json!([{"type": "password", "value": "second"}]);
    folder.file("realms/acme.json", realm.to_string());
    let server = Server::start(&folder, &["--import-realm", "realms"]);
    assert!(server.login("acme", "user-0", "first").starts_with("HTTP/1.1 200"), "it was there already");
    drop(server);
    assert_eq!(folder.realms(), ["acme", "master"], "no realm to try things in");
    folder.file("realms/bad.json", "{");
    let (code, _, err) = folder.run(&["serve", "--listen", "127.0.0.1:0", "--import-realm", "realms"]);
    assert!(code == 1 && err.contains("bad.json: it ends too early"), "{err}");
    let (code, _, err) = folder.run(&["serve", "--listen", "127.0.0.1:0", "--import-realm", "nowhere"]);
    assert!(code == 1 && err.contains("nowhere is no folder"), "{err}");
}

/// An import that is killed under way leaves no half realm, and the next one brings the whole.
#[test]
fn an_import_that_is_cut_off_begins_anew() {
    let folder = Folder::new("killed");
    let users = 20_000;
    let file = folder.file("acme.json", small("acme", 0..users).to_string());
    let database = folder.0.join("data/grantor.db-wal");
    let mut import = folder.grantor();
    import.args(["realm", "import", file.to_str().unwrap()]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut import = import.spawn().unwrap();
    // Parts are written from the second reading on; the log of the database grows with the first.
    let began = Instant::now();
    while fs::metadata(&database).map_or(0, |file| file.len()) < 3 << 20 && began.elapsed() < Duration::from_secs(60) {
        assert!(import.try_wait().unwrap().is_none(), "it was not cut off");
        std::thread::sleep(Duration::from_millis(2));
    }
    import.kill().unwrap();
    import.wait().unwrap();
    assert_eq!(folder.realms(), ["master"], "nobody sees half a realm");
    let (code, out, err) = folder.import(&file);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("{users} users")), "{out}");
    assert_eq!(folder.realms(), ["acme", "master"]);
}

/// A backup holds all of a moment, and a place that is empty becomes that again.
#[test]
fn a_backup_is_restored_whole_or_refused() {
    let folder = Folder::new("backup");
    folder.import(&folder.file("acme.json", ACME));
    let before = folder.exported("acme", "before");
    let (code, out, err) = folder.run(&["backup", "all.backup"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("master.key as well, elsewhere"), "{out}");
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(folder.0.join("all.backup")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let text = fs::read_to_string(folder.0.join("all.backup")).unwrap();
    for secret in ["registry-web-secret", "smtp-Secret-1", "BEGIN PRIVATE KEY"] {
        assert!(before.contains(secret) && !text.contains(secret), "{secret} is sealed");
    }
    let (code, _, err) = folder.run(&["backup", "all.backup"]);
    assert!(code == 1 && err.contains("is there already"), "{err}");

    let key = fs::read(folder.0.join("data/master.key")).unwrap();
    let refused = |name: &str, content: &str, key: Option<&[u8]>, said: &str| {
        let other = Folder::new(name);
        let file = other.file("it.backup", content);
        if let Some(key) = key {
            other.file("data/master.key", key);
        }
        let (code, _, err) = other.run(&["restore", file.to_str().unwrap()]);
        assert!(code == 1 && err.contains(said), "{name}: {err}");
        assert!(!err.contains("panicked") && err.lines().count() <= 3, "{name}: {err}");
    };
    let (half, changed) = (&text[..text.len() / 2], text.replacen("olena", "alena", 1));
    refused("half", half, Some(&key), "it ends too early");
    refused("changed", &changed, Some(&key), "it was changed or damaged");
    refused("longer", &format!("{text}[]\n"), Some(&key), "something stands behind its end");
    refused("none", "", Some(&key), "no backup of a Grantor");
    refused("realm", ACME, Some(&key), "no backup of a Grantor");
    refused("newer", &text.replacen("\"format\":1", "\"format\":2", 1), Some(&key), "written by a newer Grantor");
    refused("keyless", &text, None, "the master key of the backup has to be at");
    let stranger = Folder::new("stranger");
    stranger.import(&stranger.file("one.json", small("one", 0..1).to_string()));
    let strange = fs::read(stranger.0.join("data/master.key")).unwrap();
    refused("stranger-key", &text, Some(&strange), "under another master key");

    let restored = Folder::new("restored");
    let file = restored.file("all.backup", &text);
    restored.file("data/master.key", &key);
    let (code, out, err) = restored.run(&["restore", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("2 realms as they were at"), "{out}");
    assert_eq!(restored.realms(), ["acme", "master"]);
    assert!(restored.exported("acme", "after") == before, "the same to the letter");
    let (code, _, err) = restored.run(&["restore", file.to_str().unwrap()]);
    assert!(code == 1 && err.contains("there are realms in"), "{err}");
}

/// What is wrong is said with what to do, and only that makes the command fail.
#[test]
fn the_doctor_finds_what_keeps_a_server_from_working() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("doctor");
    let off = "[server]\nlisten = \"127.0.0.1:0\"\nops_listen = \"off\"\ngateway_listen = \"off\"\n";
    folder.file("grantor.toml", off);
    let found = |folder: &Folder| -> (i32, Vec<(String, String, String)>) {
        let (code, out, _) = folder.run(&["doctor", "--json"]);
        let findings: Vec<Value> = serde_json::from_str(&out).unwrap();
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        let found = findings.iter().map(|one| (text(one, "what"), text(one, "state"), text(one, "found"))).collect();
        (code, found)
    };
    let state = |found: &[(String, String, String)], what: &str| {
        found.iter().filter(|one| one.0 == what).map(|one| one.1.clone()).collect::<Vec<_>>()
    };
    let (code, first) = found(&folder);
    assert_eq!((code, state(&first, "data folder")), (0, vec!["look".to_owned()]), "before the first start");
    folder.import(&folder.file("acme.json", small("acme", 0..1).to_string()));
    let (code, now) = found(&folder);
    assert_eq!(code, 0, "{now:?}");
    for what in ["configuration", "data folder", "master key", "database file", "database", "realms", "port"] {
        assert_eq!(state(&now, what), ["ok"], "{what}: {now:?}");
    }
    assert_eq!(state(&now, "administrator"), ["look"]);

    let key = folder.0.join("data/master.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, now) = found(&folder);
    assert_eq!((code, state(&now, "master key")), (0, vec!["look".to_owned()]));

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    folder.file("grantor.toml", off.replace("127.0.0.1:0", &taken.to_string()));
    let (code, now) = found(&folder);
    assert_eq!((code, state(&now, "port")), (1, vec!["wrong".to_owned()]));
    drop(listener);

    folder.file("grantor.toml", "[server]\nlisen = \"127.0.0.1:0\"\n");
    let (code, now) = found(&folder);
    assert_eq!((code, now.len(), state(&now, "configuration")), (1, 1, vec!["wrong".to_owned()]));
    folder.file("grantor.toml", off);

    let other = Folder::new("doctor-other");
    other.import(&other.file("one.json", small("one", 0..1).to_string()));
    fs::copy(other.0.join("data/master.key"), &key).unwrap();
    let (code, now) = found(&folder);
    assert_eq!(code, 1);
    assert_eq!(state(&now, "realms"), ["wrong", "wrong"], "another key opens nothing: {now:?}");
    fs::remove_file(&key).unwrap();
    let (code, now) = found(&folder);
    assert_eq!((code, state(&now, "master key")), (1, vec!["wrong".to_owned()]));
}
