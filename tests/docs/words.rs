//! What the README promises of itself: its length, what stands first, what it says of others; the glossary and the map.

use crate::markdown::{prose, table};
use crate::repository;

/// Gateways of others. What is true of them changes.
const OTHER_GATEWAYS: [&str; 6] = ["Bifrost", "Helicone", "LLM Gateway", "LiteLLM", "Portkey", "Vercel"];

#[test]
fn the_readme_takes_ten_minutes() {
    let readme = repository::text("README.md");
    assert!(readme.lines().count() <= 250, "{} lines", readme.lines().count());
}

#[test]
fn the_readme_says_first_for_whom_it_is_and_what_it_costs() {
    let readme = repository::text("README.md");
    let beginning: Vec<_> = readme.lines().take(20).collect();
    for start in ["**Who it is for.**", "**What it costs.**"] {
        assert!(beginning.iter().any(|line| line.starts_with(start)), "{start}");
    }
}

#[test]
fn what_is_said_of_other_gateways_has_a_date_and_a_source() {
    for name in repository::documents() {
        for paragraph in prose(&repository::text(&name)).split("\n\n") {
            if OTHER_GATEWAYS.iter().any(|other| paragraph.contains(other)) {
                assert!(paragraph.contains("](https://"), "{name}: no source: {paragraph}");
                assert!(paragraph.contains(" 20"), "{name}: no date: {paragraph}");
            }
        }
    }
}

/// The documentation of `src/lib.rs`.
fn crate_page() -> String {
    let lines = repository::text("src/lib.rs");
    let lines =
        lines.lines().filter_map(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_glossary_has_25_words_each_with_what_it_is_in_the_code() {
    let rows = table(&crate_page(), "| word | means | type |");
    assert_eq!(rows.len(), 25);
    for row in rows {
        let name = row[2].trim_matches(['[', ']', '`']);
        let (module, item) = name.split_once("::").unwrap();
        let files = [format!("src/{module}.rs"), format!("src/{module}/mod.rs")];
        let file = files.iter().find(|file| repository::path(file).exists()).unwrap_or_else(|| panic!("{name}"));
        let item = item.split("::").next().unwrap();
        assert!(repository::text(file).contains(item), "{name}: {file} knows no {item}");
    }
}

/// The architecture test holds `src/lib.rs` to the code.
#[test]
fn the_layers_are_drawn_as_in_the_code() {
    let page = crate_page().replace('\n', " ");
    let map = page.split('`').find(|code| code.contains(" → ")).unwrap();
    let drawn = repository::text("docs/architecture.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(drawn.contains(map), "docs/architecture.md draws other layers than src/lib.rs: {map}");
}
