//! One realm file, read without holding its users: what is in it, everything but the users, or the users one by one.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use grantor_model::realm::UserDocument;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::text::{Lookup, Text};

/// Where a realm stands: a file, and the place in it when it is a list of realms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) position: usize,
}

/// What is seen of a realm at first.
#[derive(Debug, Default)]
pub(super) struct Glance {
    /// The realm's name.
    pub(super) name: Option<String>,
    /// How many users there are.
    pub(super) users: usize,
    /// The clients whose service accounts are among them, by `clientId`.
    pub(super) accounts: HashSet<String>,
}

/// Why a file cannot be read, with its name.
#[derive(Debug)]
pub(crate) struct FileError(pub(super) String);

impl fmt::Display for FileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What a reading is for.
enum Wanted<'a> {
    Glances(&'a mut Vec<Glance>),
    Settings(&'a mut Map<String, Value>),
    Users(&'a mut dyn FnMut(UserDocument) -> bool),
}

/// What is in a file.
pub(super) fn glance(path: &Path, lookup: &Arc<Lookup>) -> Result<Vec<Glance>, FileError> {
    let mut glances = Vec::new();
    read(path, None, Wanted::Glances(&mut glances), lookup, &Arc::default())?;
    Ok(glances)
}

/// Everything of a realm but its users.
pub(super) fn settings(source: &Source, lookup: &Arc<Lookup>) -> Result<Map<String, Value>, FileError> {
    let mut settings = Map::new();
    read(&source.path, Some(source.position), Wanted::Settings(&mut settings), lookup, &Arc::default())?;
    Ok(settings)
}

/// The users of a realm, one by one, until `each` has had enough. `read_bytes` counts what was read of the file.
pub(super) fn users(
    source: &Source,
    lookup: &Arc<Lookup>,
    read_bytes: &Arc<AtomicU64>,
    mut each: impl FnMut(UserDocument) -> bool,
) -> Result<(), FileError> {
    read(&source.path, Some(source.position), Wanted::Users(&mut each), lookup, read_bytes)
}

/// Reads the realm at `position`, or all.
fn read(
    path: &Path,
    position: Option<usize>,
    wanted: Wanted<'_>,
    lookup: &Arc<Lookup>,
    read_bytes: &Arc<AtomicU64>,
) -> Result<(), FileError> {
    let named = |what: String| FileError(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| named(format!("cannot be read: {error}")))?;
    let text = Text::new(BufReader::with_capacity(1 << 16, file), lookup.clone(), read_bytes.clone());
    let mut deserializer = serde_json::Deserializer::from_reader(text);
    let outcome = deserializer.deserialize_any(Realms { position, wanted }).and_then(|()| deserializer.end());
    outcome.map_err(|error| {
        named(match error.classify() {
            serde_json::error::Category::Io | serde_json::error::Category::Data => error.to_string(),
            serde_json::error::Category::Eof => format!("it ends too early, is it whole? {error}"),
            serde_json::error::Category::Syntax => format!("not JSON: {error}"),
        })
    })
}

const REALM: &str = "a realm, as `kc.sh export` writes it";

/// A realm, or a list of them.
struct Realms<'a> {
    position: Option<usize>,
    wanted: Wanted<'a>,
}

impl<'de> Visitor<'de> for Realms<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(REALM)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, members: A) -> Result<(), A::Error> {
        Realm(&mut self.wanted).visit_map(members)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut realms: A) -> Result<(), A::Error> {
        for position in 0.. {
            let more = if self.position.is_none_or(|wanted| wanted == position) {
                realms.next_element_seed(Realm(&mut self.wanted))?
            } else {
                realms.next_element::<IgnoredAny>()?.map(drop)
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }
}

struct Realm<'a, 'b>(&'a mut Wanted<'b>);

impl<'de> DeserializeSeed<'de> for Realm<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Realm<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(REALM)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        let mut glance = Glance::default();
        while let Some(name) = members.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(de::Error::custom(format!("the realm has the member {name:?} twice")));
            }
            match (&mut *self.0, name.as_str()) {
                (Wanted::Glances(_), "users") => {
                    members.next_value_seed(Each::new(|account: Account| {
                        glance.users += 1;
                        glance.accounts.extend(account.service_account_client_id);
                        true
                    }))?;
                }
                (Wanted::Users(each), "users") => members.next_value_seed(Each::new(&mut **each))?,
                (Wanted::Glances(_), "realm") => glance.name = members.next_value()?,
                (Wanted::Settings(settings), name) if name != "users" => {
                    settings.insert(name.to_owned(), members.next_value()?);
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        if let Wanted::Glances(all) = self.0 {
            all.push(glance);
        }
        Ok(())
    }
}

/// What matters of a user at first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    #[serde(default)]
    service_account_client_id: Option<String>,
}

/// A list whose elements are handed on one by one.
struct Each<T, F: FnMut(T) -> bool>(F, std::marker::PhantomData<T>);

impl<T, F: FnMut(T) -> bool> Each<T, F> {
    fn new(each: F) -> Self {
        Self(each, std::marker::PhantomData)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> bool> DeserializeSeed<'de> for Each<T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> bool> Visitor<'de> for Each<T, F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of users")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            if !self.0(element) {
                return Err(de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
