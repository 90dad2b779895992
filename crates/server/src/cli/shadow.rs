//! `grantor shadow`: the same token requests to two servers, and where their answers differ.

mod compare;
mod request;

use std::io::BufRead as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use http::header::HeaderMap;
use serde::Serialize;

use self::request::{Line, read};
use super::output::{CliError, Output, printable};
use crate::outbound::{Answer, Outbound};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  grantor shadow --against https://id.example.org --realm acme --requests requests.txt
  grantor shadow --against https://id.example.org --realm acme --here http://127.0.0.1:8080 --requests requests.txt --json
  tail -f keycloak.log | grantor shadow --against https://id.example.org --realm acme --requests -

A line of the requests is the form of one token request, as `curl -d` has it. ${NAME} is replaced from the environment,
so that no secret stands in the file:

  grant_type=client_credentials&client_id=orders&client_secret=${ORDERS_SECRET}
  grant_type=password&client_id=web&username=alice&password=${ALICE_PASSWORD}&scope=openid

Lines of Keycloak's event log (type=\"CLIENT_LOGIN\", type=\"LOGIN\" of the password grant) are requests as well: the secret
of client orders-api is taken from SECRET_ORDERS_API, the password of alice from PASSWORD_ALICE.

Compared are the status, the members of the answer, the claims and headers of its tokens, and the HTTP headers. What
differs from one answer to the next anyway (jti, iat, sid, signatures) only has to be there on both sides; lifetimes
have to be the same. Each request is a login on both servers: a wrong password counts as a guess on both.

Exit code 1 when any answer differs.")]
pub(crate) struct ShadowArgs {
    /// The server that is the measure, as it is reached
    #[arg(long, value_name = "URL")]
    against: String,
    /// The server that is compared with it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    here: String,
    /// The realm
    #[arg(long, value_name = "NAME")]
    realm: String,
    /// File of requests, or - for standard input
    #[arg(long, value_name = "FILE")]
    requests: PathBuf,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request, and where its answers differ.
#[derive(Debug, Serialize)]
struct Compared {
    request: String,
    there_status: u16,
    here_status: u16,
    there_ms: u128,
    here_ms: u128,
    differences: Vec<String>,
}

pub(crate) async fn run(args: ShadowArgs, output: &Output) -> Result<(), CliError> {
    let outbound = Outbound::unrestricted(PATIENCE)?;
    let bases = [args.against.trim_end_matches('/'), args.here.trim_end_matches('/')];
    let urls = bases.map(|base| format!("{base}/realms/{}/protocol/openid-connect/token", args.realm));
    let (mut all, mut passed_over) = (Vec::new(), 0_usize);
    for (number, line) in lines(&args.requests)?.enumerate() {
        let line = line.map_err(|error| CliError::new(format!("the requests cannot be read: {error}")))?;
        let request = match read(&line, &args.realm, |name| std::env::var(name).ok()) {
            Line::Request(request) => request,
            Line::Nothing => continue,
            Line::Other => {
                passed_over += 1;
                continue;
            }
            Line::Bad(why) => return Err(CliError::new(format!("line {}: {why}", number + 1))),
        };
        let (there, there_ms) = ask(&outbound, &urls[0], &request.form).await;
        let (here, here_ms) = ask(&outbound, &urls[1], &request.form).await;
        let status = |answer: &Result<Answer, String>| answer.as_ref().map_or(0, |answer| answer.status);
        let compared = Compared {
            request: request.shown,
            there_status: status(&there),
            here_status: status(&here),
            there_ms,
            here_ms,
            differences: match (there, here) {
                (Ok(there), Ok(here)) => compare::answers(&there, &here, &bases),
                (Err(why), Ok(_)) => vec![format!("no answer there: {why}")],
                (Ok(_), Err(why)) => vec![format!("no answer here: {why}")],
                (Err(one), Err(other)) => vec![format!("no answer there: {one}"), format!("no answer here: {other}")],
            },
        };
        if !output.is_json() {
            output.line(told(&compared))?;
        }
        all.push(compared);
    }
    summed_up(&all, passed_over, output)
}

fn lines(path: &PathBuf) -> Result<Box<dyn Iterator<Item = std::io::Result<String>>>, CliError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lines()));
    }
    let file = std::fs::File::open(path)
        .map_err(|error| CliError::new(format!("{} cannot be read: {error}", path.display())))?;
    Ok(Box::new(std::io::BufReader::new(file).lines()))
}

async fn ask(outbound: &Outbound, url: &str, form: &str) -> (Result<Answer, String>, u128) {
    let began = Instant::now();
    let answer = outbound.post_form(url, HeaderMap::new(), form.to_owned()).await;
    (answer, began.elapsed().as_millis())
}

fn told(compared: &Compared) -> String {
    let mark = if compared.differences.is_empty() { "same   " } else { "DIFFERS" };
    let (status, times) = (compared.there_status, format!("{} ms, here {} ms", compared.there_ms, compared.here_ms));
    let mut text = format!("{mark}  {}  {status}  {times}", printable(&compared.request));
    for difference in &compared.differences {
        text.push_str(&format!("\n         {}", printable(difference)));
    }
    text
}

fn summed_up(all: &[Compared], passed_over: usize, output: &Output) -> Result<(), CliError> {
    let differ = all.iter().filter(|one| !one.differences.is_empty()).count();
    let median = |time: fn(&Compared) -> u128| {
        let mut times: Vec<u128> = all.iter().map(time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    let (there, here) = (median(|one| one.there_ms), median(|one| one.here_ms));
    if output.is_json() {
        output.json(&serde_json::json!({"requests": all, "differ": differ, "passed_over": passed_over,
            "median_ms": {"there": there, "here": here}}))?;
    } else {
        let others = if passed_over > 0 { format!(", {passed_over} lines passed over") } else { String::new() };
        let count = all.len();
        output.line(format!("{count} requests, {differ} differ{others}; median {there} ms there, {here} ms here"))?;
    }
    match (all.len(), differ) {
        (0, _) => Err(CliError::new("there was no request")),
        (_, 0) => Ok(()),
        (count, differ) => Err(CliError::new(format!("{differ} of {count} answers differ"))),
    }
}
