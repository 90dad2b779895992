//! Whatever a realm is made of, it goes out as it came in: nothing is lost, and `import(export(x)) = x`.

use std::collections::BTreeSet;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use crate::export::{differences, exported};
use crate::support::World;

/// A name as people give them: any script, spaces, signs. Slashes separate the names of groups in a path.
const NAME: &str = "[a-zA-Z0-9][a-zA-Z0-9 ._їґé漢😀:&\"\\\\{$]{0,11}";

fn attributes() -> impl Strategy<Value = Value> {
    btree_map(NAME, vec("\\PC{0,8}", 1..3), 0..3).prop_map(|map| json!(map))
}

/// JSON that nobody here understands.
fn unknown() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(Value::from),
            btree_map("[a-z]{1,5}", inner, 1..3).prop_map(|map| json!(map))
        ]
    })
}

fn role() -> impl Strategy<Value = Role> {
    (attributes(), "\\PC{0,10}", vec(any::<Index>(), 0..3)).prop_map(|(attributes, description, members)| {
        (json!({"description": description, "attributes": attributes}), members)
    })
}

type Role = (Value, Vec<Index>);
/// Public, direct access, secret, something unknown, names of roles.
type Client = (bool, bool, String, Value, BTreeSet<String>);
/// Attributes, names of groups below, roles.
type Group = (Value, BTreeSet<String>, Vec<Index>);
/// Enabled, attributes, roles, groups, something unknown, when it was made.
type User = (bool, Value, Vec<Index>, Vec<Index>, Value, i64);

#[derive(Debug)]
struct Parts {
    roles: Vec<(String, Role)>,
    clients: Vec<(String, Client)>,
    groups: Vec<(String, Group)>,
    users: Vec<(String, User)>,
    settings: (i64, bool, Value, String),
}

fn parts() -> impl Strategy<Value = Parts> {
    let client = (any::<bool>(), any::<bool>(), "[!-~]{1,20}", unknown(), btree_set(NAME, 0..3));
    let group = (attributes(), btree_set(NAME, 0..3), vec(any::<Index>(), 0..2));
    let indexes = || vec(any::<Index>(), 0..3);
    let user = (any::<bool>(), attributes(), indexes(), indexes(), unknown(), 0..4_000_000_000_000_i64);
    (
        btree_map(NAME, role(), 1..5),
        btree_map("[a-zA-Z0-9._~:/ ї-]{1,16}", client, 0..4),
        btree_map(NAME, group, 0..4),
        btree_map("[a-z0-9ї][a-z0-9ї._@-]{0,15}", user, 0..6),
        (1..100_000_i64, any::<bool>(), unknown(), "\\PC{0,12}"),
    )
        .prop_map(|(roles, clients, groups, users, settings)| Parts {
            roles: roles.into_iter().collect(),
            clients: clients.into_iter().collect(),
            groups: groups.into_iter().collect(),
            users: users.into_iter().collect(),
            settings,
        })
}

/// The names that indexes point to, each once.
fn chosen(indexes: &[Index], names: &[String]) -> Vec<String> {
    let chosen: BTreeSet<&String> =
        indexes.iter().filter(|_| !names.is_empty()).map(|index| &names[index.index(names.len())]).collect();
    chosen.into_iter().cloned().collect()
}

fn realm(parts: &Parts) -> Value {
    let mut numbers = 0..;
    let mut id = |kind: &str| format!("{kind}-{}", numbers.next().unwrap_or_default());
    let roles: Vec<String> = parts.roles.iter().map(|(name, _)| name.clone()).collect();
    let realm_roles: Vec<Value> = parts
        .roles
        .iter()
        .map(|(name, (role, members))| {
            let mut role = role.clone();
            role["name"] = json!(name);
            role["id"] = json!(id("role"));
            let members = chosen(members, &roles);
            role["composite"] = json!(!members.is_empty());
            if !members.is_empty() {
                role["composites"] = json!({"realm": members});
            }
            role
        })
        .collect();
    let mut client_roles = Map::new();
    let clients: Vec<Value> = parts
        .clients
        .iter()
        .map(|(client_id, (public, direct, secret, unknown, roles))| {
            let roles: Vec<Value> = roles.iter().map(|name| json!({"name": name, "id": id("role")})).collect();
            client_roles.insert(client_id.clone(), json!(roles));
            let mut client = json!({"clientId": client_id, "id": id("client"), "publicClient": public, "directAccessGrantsEnabled": direct,
                "protocol": "openid-connect", "custom": unknown});
            if !public {
                client["secret"] = json!(secret);
            }
            client
        })
        .collect();
    let mut paths = Vec::new();
    let groups: Vec<Value> = parts
        .groups
        .iter()
        .map(|(name, (attributes, below, members))| {
            paths.push(format!("/{name}"));
            paths.extend(below.iter().map(|inner| format!("/{name}/{inner}")));
            let below: Vec<Value> = below.iter().map(|inner| json!({"name": inner, "id": id("group")})).collect();
            json!({"name": name, "id": id("group"), "attributes": attributes, "subGroups": below, "realmRoles": chosen(members, &roles)})
        })
        .collect();
    let users: Vec<Value> = parts
        .users
        .iter()
        .map(|(name, (enabled, attributes, of, within, unknown, made))| {
            json!({"username": name, "id": id("user"), "enabled": enabled, "attributes": attributes, "createdTimestamp": made,
                "realmRoles": chosen(of, &roles), "groups": chosen(within, &paths), "custom": unknown,
                "credentials": [{"type": "password", "id": id("credential"), "createdDate": made,
                    "credentialData": r#"{"hashIterations":1,"algorithm":"pbkdf2-sha256"}"#,
                    "secretData": r#"{"value":"c2VjcmV0","salt":"c2FsdA=="}"#}]})
        })
        .collect();
    let (lifespan, remember, unknown, display) = &parts.settings;
    json!({"realm": "acme", "enabled": true, "accessTokenLifespan": lifespan, "rememberMe": remember,
        "displayName": display, "custom": unknown, "roles": {"realm": realm_roles, "client": client_roles},
        "clients": clients, "groups": groups, "users": users})
}

#[test]
fn nothing_is_lost_and_an_export_comes_back_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner =
        TestRunner::new(Config { cases: 32, max_shrink_iters: 200, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&parts(), |parts| {
        let file = realm(&parts);
        let (lost, moved) = runtime.block_on(async {
            let world = World::with(&file.to_string()).await;
            let once = exported(&world, "acme", false).await;
            let again = World::with(&once.to_string()).await;
            let twice = exported(&again, "acme", false).await;
            // What is added is the built-in part and ids; what was there stays as it was.
            let is_lost = |one: &String| !one.starts_with('+') && !one.ends_with("= []") && !one.ends_with("= {}");
            let lost: Vec<String> = differences(&file, &once).into_iter().filter(is_lost).collect();
            (lost, differences(&once, &twice))
        });
        prop_assert!(lost.is_empty(), "{lost:#?}");
        prop_assert!(moved.is_empty(), "{moved:#?}");
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
