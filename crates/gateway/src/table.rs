//! The table of APIs, compiled from what people wrote, and replaced whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grantor_model::api::{ApiDocument, PassToken, RateBy, RateDocument, RuleDocument, WhenStale};
use http::Method;

use crate::issuer::SharedIssuer;
use crate::path::{Base, Pattern, segments};
use crate::rate::Rate;
use crate::upstream::Upstreams;

/// All APIs of a gateway.
#[derive(Debug, Default)]
pub struct Table {
    hosts: HashMap<String, Vec<Arc<Api>>>,
    /// By what follows the star, the longest first.
    below: Vec<(String, Vec<Arc<Api>>)>,
    every: Vec<Arc<Api>>,
    /// Rises with each change of routes or keys: what was remembered under another number is verified anew.
    pub epoch: u64,
    /// Names what was configured, for decisions.
    pub revision: String,
}

/// An API.
#[derive(Debug)]
pub struct Api {
    /// Its name.
    pub name: String,
    /// As it was written.
    pub document: ApiDocument,
    /// Who may sign its tokens.
    pub issuers: Vec<SharedIssuer>,
    /// Where calls go.
    pub upstreams: Arc<Upstreams>,
    /// How often it may be called.
    pub rate: Option<Limit>,
    pub(crate) base: Base,
    pub(crate) strip: bool,
    pub(crate) timeout: Duration,
    pub(crate) body_bytes: u64,
    pub(crate) pass_token: PassToken,
    pub(crate) when_stale: WhenStale,
    pub(crate) without_audience: bool,
    rules: Vec<Rule>,
}

/// A limit and who shares it.
#[derive(Debug)]
pub struct Limit {
    pub(crate) by: RateBy,
    pub(crate) rate: Arc<Rate>,
    document: RateDocument,
}

/// Who may do what.
#[derive(Debug)]
pub struct Rule {
    pub(crate) document: RuleDocument,
    pub(crate) rate: Option<Limit>,
    methods: Vec<Method>,
    pattern: Pattern,
}

/// Which rule a request falls under.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// This one.
    Rule(&'a Rule),
    /// None for this method; these have one.
    OtherMethods(Vec<&'a str>),
    /// None for this path.
    Nothing,
}

impl Limit {
    /// The limit as written. What was counted so far goes on counting where nothing changed.
    fn of(document: Option<&RateDocument>, before: Option<&Self>) -> Option<Self> {
        let document = document?.clone();
        let same = before.filter(|before| before.document == document).map(|before| before.rate.clone());
        Some(Self { by: document.by, rate: same.unwrap_or_else(|| Arc::new(Rate::new(&document))), document })
    }
}

impl Api {
    /// Compiles an API. What the one of the same name `before` it knew of its upstreams and callers is kept.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn compile(document: ApiDocument, issuers: Vec<SharedIssuer>, before: Option<&Self>) -> Result<Self, String> {
        let fault = |why: String| format!("API {:?}: {why}", document.name);
        checked_name(&document.name).map_err(fault)?;
        for host in &document.hosts {
            checked_host(host).map_err(fault)?;
        }
        let base = Base::read(&document.path).map_err(fault)?;
        let upstreams = Upstreams::of(&document, before.map(|before| &before.upstreams)).map_err(fault)?;
        let mut rules = Vec::with_capacity(document.rules.len());
        for (at, rule) in document.rules.iter().enumerate() {
            let before = before.and_then(|before| before.rules.get(at));
            let compiled = Rule::compile(rule, before).map_err(|why| fault(format!("rule {}: {why}", at + 1)))?;
            rules.push(compiled);
        }
        let asks = rules.iter().any(|rule| !rule.document.public && !rule.document.deny);
        if asks && issuers.is_empty() {
            return Err(fault("it asks for tokens and names neither a realm nor an issuer".to_owned()));
        }
        Ok(Self {
            name: document.name.clone(),
            base,
            strip: document.strip_path,
            timeout: Duration::from_secs(u64::from(document.timeout_seconds.clamp(1, 3_600))),
            body_bytes: if document.body_bytes == 0 { u64::MAX } else { document.body_bytes },
            pass_token: document.pass_token,
            when_stale: document.when_stale,
            without_audience: document.without_audience,
            rate: Limit::of(document.rate.as_ref(), before.and_then(|before| before.rate.as_ref())),
            issuers,
            upstreams,
            rules,
            document,
        })
    }

    /// The first rule that fits.
    pub(crate) fn rule(&self, method: &Method, rest: &str) -> Found<'_> {
        let mut others: Vec<&str> = Vec::new();
        for rule in &self.rules {
            if !rule.pattern.means(segments(rest)) {
                continue;
            }
            if rule.methods.is_empty() || rule.methods.contains(method) {
                return Found::Rule(rule);
            }
            others.extend(rule.methods.iter().map(Method::as_str));
        }
        others.sort_unstable();
        others.dedup();
        if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
    }

    /// The scopes that its rules speak of.
    pub(crate) fn scopes(&self) -> Vec<&str> {
        let mut scopes: Vec<&str> =
            self.rules.iter().flat_map(|rule| rule.document.scopes.iter().map(String::as_str)).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }
}

impl Rule {
    fn compile(document: &RuleDocument, before: Option<&Self>) -> Result<Self, String> {
        let pattern = Pattern::read(&document.path)?;
        let mut methods = Vec::new();
        for method in &document.methods {
            let read = Method::from_bytes(method.as_bytes())
                .ok()
                .filter(|_| method.bytes().all(|byte| byte.is_ascii_uppercase()));
            methods.push(read.ok_or_else(|| format!("{method:?} is not a method: GET, POST, …"))?);
            if method == "GET" {
                // Who may read may ask how long it would be (RFC 9110 section 9.3.2).
                methods.push(Method::HEAD);
            }
        }
        let asks = !(document.scopes.is_empty()
            && document.roles.is_empty()
            && document.clients.is_empty()
            && document.claims.is_empty());
        if document.public && asks {
            return Err("it is public, and asks for something that only a token can show".to_owned());
        }
        if document.deny && (document.public || asks) {
            return Err("it refuses everybody, and says who may pass".to_owned());
        }
        for scope in &document.scopes {
            let fine = |byte: u8| byte == 0x21 || (0x23..=0x5b).contains(&byte) || (0x5d..=0x7e).contains(&byte);
            if scope.is_empty() || !scope.bytes().all(fine) {
                return Err(format!("{scope:?} is not a scope (RFC 6749 section 3.3)"));
            }
        }
        let rate = Limit::of(document.rate.as_ref(), before.and_then(|before| before.rate.as_ref()));
        Ok(Self { document: document.clone(), rate, methods, pattern })
    }
}

fn checked_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fine) {
        return Err("a name has 1 to 64 letters, digits, '-', '_' and '.'".to_owned());
    }
    Ok(())
}

fn checked_host(host: &str) -> Result<(), String> {
    let bare = host.strip_prefix("*.").unwrap_or(host);
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '[' | ']' | ':' | '_');
    if bare.is_empty() || !bare.chars().all(fine) {
        return Err(format!("host {host:?}: a name in lower case without a port, or *. and a name"));
    }
    Ok(())
}

impl Table {
    /// A table of these APIs.
    ///
    /// # Errors
    /// When two have the same name, or the same host and path.
    pub fn of(apis: Vec<Arc<Api>>, epoch: u64, revision: String) -> Result<Self, String> {
        let mut table = Self { epoch, revision, ..Self::default() };
        let mut names = std::collections::HashSet::new();
        for api in apis {
            if !names.insert(api.name.clone()) {
                return Err(format!("there are two APIs {:?}", api.name));
            }
            if api.document.hosts.is_empty() {
                table.every.push(api);
                continue;
            }
            for host in &api.document.hosts {
                match host.strip_prefix('*') {
                    None => table.hosts.entry(host.clone()).or_default().push(api.clone()),
                    Some(end) => match table.below.iter_mut().find(|(known, _)| known == end) {
                        Some((_, apis)) => apis.push(api.clone()),
                        None => table.below.push((end.to_owned(), vec![api.clone()])),
                    },
                }
            }
        }
        table.below.sort_by_key(|(end, _)| std::cmp::Reverse(end.len()));
        let lists = table.hosts.values_mut().chain(table.below.iter_mut().map(|(_, apis)| apis));
        for apis in lists.chain(std::iter::once(&mut table.every)) {
            apis.sort_by_key(|api| std::cmp::Reverse(api.base.depth()));
            for (one, other) in apis.iter().zip(apis.iter().skip(1)) {
                if one.base == other.base {
                    return Err(format!("APIs {:?} and {:?} have the same host and path", one.name, other.name));
                }
            }
        }
        Ok(table)
    }

    /// The API of a host (in its one spelling) and a path, and what of the path is below it.
    pub fn find<'a, 'b>(&'a self, host: &str, path: &'b str) -> Option<(&'a Arc<Api>, &'b str)> {
        let below = self.below.iter().find(|(end, _)| host.ends_with(end.as_str()) && host.len() > end.len());
        let lists = [self.hosts.get(host), below.map(|(_, apis)| apis), Some(&self.every)];
        // The most exact name that has the path decides.
        let mut apis = lists.into_iter().flatten().flatten();
        apis.find_map(|api| Some((api, api.base.rest(path)?)))
    }

    /// How many APIs there are.
    pub fn len(&self) -> usize {
        self.apis().map(|api| api.name.as_str()).collect::<std::collections::HashSet<_>>().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The API of a name.
    pub fn named(&self, name: &str) -> Option<&Arc<Api>> {
        self.apis().find(|api| api.name == name)
    }

    /// All APIs; one with several hosts several times.
    pub fn apis(&self) -> impl Iterator<Item = &Arc<Api>> {
        self.hosts.values().flatten().chain(self.below.iter().flat_map(|(_, apis)| apis)).chain(&self.every)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use grantor_model::api::{ApiDocument, RuleDocument};
    use http::Method;

    use super::{Api, Found, Table};

    fn api(name: &str, hosts: &[&str], path: &str) -> ApiDocument {
        ApiDocument {
            name: name.to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            path: path.to_owned(),
            upstreams: vec!["http://127.0.0.1:1".to_owned()],
            rules: vec![RuleDocument { path: "/**".to_owned(), public: true, ..RuleDocument::default() }],
            ..ApiDocument::default()
        }
    }

    fn compiled(document: ApiDocument) -> Result<Arc<Api>, String> {
        Api::compile(document, Vec::new(), None).map(Arc::new)
    }

    fn table(apis: &[ApiDocument]) -> Result<Table, String> {
        let apis = apis.iter().cloned().map(compiled).collect::<Result<_, _>>()?;
        Table::of(apis, 0, String::new())
    }

    #[test]
    fn the_most_exact_name_and_the_longest_path_decide() {
        let table = table(&[
            api("all", &[], "/"),
            api("all-v1", &[], "/v1"),
            api("shop", &["shop.test"], "/"),
            api("shop-v1", &["shop.test"], "/v1"),
            api("below", &["*.shop.test"], "/"),
            api("deep", &["*.a.shop.test"], "/x"),
        ])
        .expect("a table");
        for (host, path, name, rest) in [
            ("shop.test", "/v1/a", "shop-v1", "/a"),
            ("shop.test", "/v2/a", "shop", "/v2/a"),
            ("x.shop.test", "/v1", "below", "/v1"),
            ("b.a.shop.test", "/x/y", "deep", "/y"),
            ("other.test", "/v1", "all-v1", "/"),
            ("other.test", "/", "all", "/"),
            ("[::1]", "/", "all", "/"),
        ] {
            let (found, below) = table.find(host, path).expect("an API");
            assert_eq!((found.name.as_str(), below), (name, rest), "{host}{path}");
        }
    }

    #[test]
    fn what_means_two_things_is_refused() {
        assert!(table(&[api("a", &[], "/"), api("b", &[], "/")]).is_err());
        assert!(table(&[api("a", &[], "/"), api("a", &["x.test"], "/")]).is_err());
        assert!(table(&[api("a", &["x.test"], "/v1"), api("b", &["x.test"], "/v1/")]).is_err());
    }

    #[test]
    fn bad_documents_are_refused() {
        type Change = fn(&mut ApiDocument);
        let changes: [Change; 12] = [
            |one| one.name = "a b".to_owned(),
            |one| one.name = String::new(),
            |one| one.hosts = vec!["A.test".to_owned()],
            |one| one.hosts = vec!["a.test/x".to_owned()],
            |one| one.path = "x".to_owned(),
            |one| one.path = "/a/../b".to_owned(),
            |one| one.upstreams = Vec::new(),
            |one| one.upstreams = vec!["ftp://x".to_owned()],
            |one| one.upstreams = vec!["http://user:pw@x".to_owned()],
            |one| one.rules = vec![RuleDocument { path: "/".to_owned(), ..RuleDocument::default() }],
            |one| {
                one.rules = vec![RuleDocument {
                    path: "/".to_owned(),
                    public: true,
                    roles: vec!["a".to_owned()],
                    ..RuleDocument::default()
                }]
            },
            |one| {
                one.rules = vec![RuleDocument {
                    path: "/".to_owned(),
                    public: true,
                    methods: vec!["get".to_owned()],
                    ..RuleDocument::default()
                }]
            },
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut document = api("a", &[], "/");
            change(&mut document);
            assert!(compiled(document).is_err(), "change {at}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let mut document = api("a", &[], "/");
        let rule = |path: &str, methods: &[&str]| RuleDocument {
            path: path.to_owned(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            public: true,
            ..RuleDocument::default()
        };
        document.rules = vec![rule("/a", &["GET"]), rule("/a", &["POST"]), rule("/{x}", &["DELETE"])];
        let api = compiled(document).expect("an API");
        let first = |method: Method, path: &str| match api.rule(&method, path) {
            Found::Rule(rule) => rule.document.path.clone(),
            Found::OtherMethods(others) => others.join(","),
            Found::Nothing => "nothing".to_owned(),
        };
        assert_eq!(first(Method::HEAD, "/a"), "/a");
        assert_eq!(first(Method::DELETE, "/a"), "/{x}");
        assert_eq!(first(Method::PUT, "/a"), "DELETE,GET,HEAD,POST");
        assert_eq!(first(Method::GET, "/a/b"), "nothing");
    }
}
