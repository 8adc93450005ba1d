//! What is generated from the configuration's types is what is committed.

use std::{env, fs};

use crate::{reference, repository, schema};

/// Compares a file with what it should hold; with `UPDATE=1` in the environment, writes it.
#[track_caller]
fn assert_current(name: &str, want: &str) {
    if env::var_os("UPDATE").is_some() {
        fs::write(repository::path(name), want).unwrap();
    }
    let found = fs::read_to_string(repository::path(name)).unwrap_or_default();
    assert!(found == want, "{name} is not current: run make generate");
}

#[test]
fn the_schema_is_current() {
    assert_current("docs/config.schema.json", &format!("{:#}\n", schema::schema()));
}

#[test]
fn the_reference_is_current() {
    assert_current("docs/configuration.md", &reference::reference(&schema::schema()));
}
