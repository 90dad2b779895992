//! A throw-away PostgreSQL for tests, from the programs installed on this machine.
//!
//! [`fresh_database`] starts one server per test process and gives every test an empty database of its own.
//! The server keeps its data in the temporary folder, listens on a free port of the loopback interface, skips
//! every fsync, and ends within a second or two after the test process, however that process ended.
//!
//! Any crate's tests can take this file in with `#[path]`; it needs the standard library only. A build script
//! that does the same can ask [`usable`] and mark the tests as ignored.

#![allow(dead_code, clippy::panic, reason = "shared by test programs, which fail by panicking, and build scripts")]

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// The programs needed; they lie in one folder.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "createdb"];

/// PostgreSQL refuses to run as root; then it runs as this user, which its packages create.
const UNPRIVILEGED: &str = "postgres";

/// Runs the server as long as the test process lives, and cleans up. A shell does it because the test process
/// may be killed, and then runs nothing any more. INT asks PostgreSQL to stop at once but in order.
const WATCHER: &str = r#"
    trap : INT TERM HUP
    parent=$1; folder=$2; shift 2
    "$@" >"$folder/log" 2>&1 &
    server=$!
    while kill -0 "$parent" 2>/dev/null && kill -0 "$server" 2>/dev/null; do sleep 1; done
    kill -INT "$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null)" 2>/dev/null
    wait "$server"
    rm -rf "$folder"
"#;

struct Server {
    programs: PathBuf,
    port: u16,
    watcher: Child,
}

/// Whether a server can be started here.
pub(crate) fn usable() -> bool {
    programs().is_some() && (!is_root() || succeeds(Command::new("id").args(["-u", UNPRIVILEGED])))
}

/// The address of a new, empty database: `postgres://grantor@127.0.0.1:PORT/NAME`.
pub(crate) fn fresh_database() -> String {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let server = match SERVER.get_or_init(start) {
        Ok(server) => server,
        Err(error) => panic!("PostgreSQL did not start: {error}"),
    };
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    if let Err(error) = server.create_database(&name) {
        panic!("the database {name} was not created: {error}");
    }
    format!("postgres://grantor@127.0.0.1:{}/{name}", server.port)
}

impl Server {
    fn create_database(&self, name: &str) -> Result<(), String> {
        let mut createdb = Command::new(self.programs.join("createdb"));
        createdb.args(["--host=127.0.0.1", "--username=grantor", "--no-password", "--maintenance-db=postgres"]);
        run(createdb.arg(format!("--port={}", self.port)).arg(name))
    }
}

/// Starts a server. The free port may be taken by another program before the server has it, hence the attempts.
fn start() -> Result<Server, String> {
    let programs = programs().ok_or("its programs are not installed")?;
    let mut answer = Err(String::new());
    for attempt in 0..3 {
        let folder = env::temp_dir().join(format!("grantor-postgres-{}-{attempt}", std::process::id()));
        answer = start_in(&folder, &programs);
        if answer.is_ok() {
            break;
        }
    }
    answer
}

fn start_in(folder: &Path, programs: &Path) -> Result<Server, String> {
    // Left over from a process that was killed and had the same number.
    fs::remove_dir_all(folder).ok();
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if is_root() {
        run(Command::new("chown").arg(UNPRIVILEGED).arg(folder))?;
    }
    let data = folder.join("data");
    let mut initdb = unprivileged(&programs.join("initdb"));
    initdb.args(["--auth=trust", "--username=grantor", "--encoding=UTF8", "--no-locale", "--no-sync", "--pgdata"]);
    run(initdb.arg(&data).current_dir(folder))?;

    let port = free_port().map_err(|error| format!("no free port: {error}"))?;
    let mut postgres = unprivileged(&programs.join("postgres"));
    postgres.arg("-D").arg(&data).arg("-p").arg(port.to_string());
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=300",
        "fsync=off",
        "full_page_writes=off",
    ] {
        postgres.arg("-c").arg(setting);
    }
    let watcher = Command::new("sh")
        .args(["-c", WATCHER, "watcher", &std::process::id().to_string()])
        .arg(folder)
        .arg(postgres.get_program())
        .args(postgres.get_args())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("sh: {error}"))?;
    await_ready(Server { programs: programs.to_path_buf(), port, watcher }, folder)
}

/// Waits until the server lets a database be created.
fn await_ready(mut server: Server, folder: &Path) -> Result<Server, String> {
    let mut last = String::new();
    for _ in 0..300 {
        match server.create_database("ready") {
            Ok(()) => return Ok(server),
            Err(error) => last = error,
        }
        if let Ok(Some(_)) = server.watcher.try_wait() {
            return Err(format!("the server ended: {last}"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    Err(format!("{last}\n{log}"))
}

/// A command for a program that must not run as root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    // setpriv becomes the program; runuser stays around it as its parent.
    let setpriv = succeeds(Command::new("setpriv").arg("--version"));
    let mut command = Command::new(if setpriv { "setpriv" } else { "runuser" });
    if setpriv {
        command.arg(format!("--reuid={UNPRIVILEGED}")).arg(format!("--regid={UNPRIVILEGED}")).arg("--init-groups");
    } else {
        command.args(["-u", UNPRIVILEGED]);
    }
    command.arg("--").arg(program);
    command
}

/// The folder with the programs: one in PATH, or the newest of those where Debian puts them.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(debian_folders()).find_map(|folder| {
        // PATH may hold links to a few programs only; the others lie beside the real ones.
        let initdb = fs::canonicalize(folder.join("initdb")).ok()?;
        let folder = initdb.parent()?.to_path_buf();
        PROGRAMS.iter().all(|program| folder.join(program).is_file()).then_some(folder)
    })
}

fn debian_folders() -> Vec<PathBuf> {
    let root = Path::new("/usr/lib/postgresql");
    let names = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut versions: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    versions.sort_unstable();
    versions.into_iter().rev().map(|version| root.join(version.to_string()).join("bin")).collect()
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
