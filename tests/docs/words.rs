//! What the README promises of itself: its length, what stands first, what it says of others.

use crate::markdown::prose;
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
