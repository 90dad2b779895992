//! Tells the front-door tests whether this machine has PostgreSQL; see the build script of the store.

#![allow(clippy::print_stdout, reason = "a build script talks to Cargo on its standard output")]

#[path = "../store/tests/support/postgres.rs"]
mod postgres;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(grantor_postgres)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../store/tests/support/postgres.rs");
    if postgres::usable() {
        println!("cargo::rustc-cfg=grantor_postgres");
    }
}
