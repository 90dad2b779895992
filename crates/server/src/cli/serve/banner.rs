//! What a start prints: where everything is, and what to do first.

use std::io::Write as _;

use grantor_flows::admin::bootstrap::{DEMO, DEMO_CLIENT, FirstStart};

use crate::config::Config;

/// Prints the tree, the administrator's link and, at the first start, a `curl` line that returns a token.
pub(super) fn print(config: &Config, url: &str, first: Option<&FirstStart>, administrator: Option<&str>, apis: usize) {
    let mut lines = vec![format!("Grantor {}", env!("CARGO_PKG_VERSION"))];
    // What is printed can be used as it is where there is a realm to show it with.
    let realm = format!("{url}/realms/{}", if first.is_some() { DEMO } else { "{realm}" });
    let scheme = if config.tls_files().is_some() { "https" } else { "http" };
    if !url.is_empty() {
        lines.push(format!("├─ issuer         {url}/realms/{{realm}}"));
        lines.push(format!("│  ├─ token       {realm}/protocol/openid-connect/token"));
        lines.push(format!("│  └─ key set     {realm}/protocol/openid-connect/certs"));
    }
    if let Some(address) = config.server.ops_listen.address() {
        lines.push(format!("├─ health         http://{address}/health"));
    }
    if let Some(address) = config.server.gateway_listen.address() {
        let what = match apis {
            0 => "no API yet: everything is refused; grantor api add".to_owned(),
            1 => "in front of 1 API; grantor api list".to_owned(),
            apis => format!("in front of {apis} APIs; grantor api list"),
        };
        lines.push(format!("├─ gateway        {scheme}://{address} ({what})"));
    }
    lines.push(format!("├─ data           {} ({})", config.server.data.display(), config.database_url()));
    let file = config.file().map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
    lines.push(format!("└─ configuration  {file} (grantor config show)"));
    if let Some(link) = administrator {
        lines.push(String::new());
        lines.push(
            "First administrator (this link works once, for an hour; grantor admin recover prints another):".to_owned(),
        );
        lines.push(format!("  {url}/first-administrator/{link}"));
    }
    if let Some(first) = first {
        lines.push(String::new());
        lines.push("A token:".to_owned());
        lines.push(format!(
            "  curl -s {realm}/protocol/openid-connect/token -d grant_type=client_credentials \
             -d client_id={DEMO_CLIENT} -d client_secret={}",
            first.demo_secret
        ));
    }
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe does not want to know.
    let _ = writeln!(out, "{}\n", lines.join("\n")).and_then(|()| out.flush());
}
