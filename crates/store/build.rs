//! Tells the tests whether this machine has PostgreSQL.
//!
//! A test cannot skip itself while it runs, and one that returns early counts as passed. So the tests that
//! need PostgreSQL are marked as ignored when its programs are missing at build time. After installing them,
//! touch this file.

#![allow(clippy::print_stdout, reason = "a build script talks to Cargo on its standard output")]

#[path = "tests/support/postgres.rs"]
mod postgres;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(grantor_postgres)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=tests/support/postgres.rs");
    if postgres::usable() {
        println!("cargo::rustc-cfg=grantor_postgres");
    }
}
