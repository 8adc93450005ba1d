//! The files of the repository.

use std::fs;
use std::path::PathBuf;

/// Where a file of the repository is.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The text of a file of the repository.
pub fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every document: the Markdown files of the repository, in order.
pub fn documents() -> Vec<String> {
    let mut found = Vec::new();
    walk("", &mut found);
    found.sort();
    found
}

/// The documents for users: the README and the pages of `docs/`.
pub fn pages() -> Vec<String> {
    documents().into_iter().filter(|name| name == "README.md" || name.starts_with("docs/")).collect()
}

fn walk(folder: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(path(folder)).unwrap().map(Result::unwrap) {
        let file = entry.file_name().into_string().unwrap();
        let name = if folder.is_empty() { file.clone() } else { format!("{folder}/{file}") };
        let is_foreign = file.starts_with('.') || ["target", "node_modules"].contains(&file.as_str());
        if entry.file_type().unwrap().is_dir() {
            if !is_foreign {
                walk(&name, found);
            }
        } else if name.ends_with(".md") {
            found.push(name);
        }
    }
}
