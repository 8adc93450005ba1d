//! The texts of errors are what clients and operators search for: none changes unnoticed.

use std::fmt::Write;

use crate::repository;

/// Where texts of errors stand.
const SOURCES: [&str; 7] = [
    "src/stream/denials.rs",
    "src/policy/model.rs",
    "src/worker/body_watch.rs",
    "src/limit/ending.rs",
    "src/control/api.rs",
    "src/control/errors.rs",
    "src/control/listing.rs",
];

const GOLDEN: &str = "tests/fixtures/error_texts.txt";

/// The literals of a source that are sentences, without those of its tests and comments.
fn sentences(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<_> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut chars = code.chars().peekable();
    let mut found = Vec::new();
    while let Some(char) = chars.next() {
        match char {
            '\'' => {
                // A character, which may be a quotation mark.
                let rest: String = chars.clone().take(3).collect();
                let length = if rest.starts_with("\"'") { 2 } else { 0 };
                chars.by_ref().take(length).for_each(drop);
            }
            '"' => found.push(literal(&mut chars)),
            _ => {}
        }
    }
    found.retain(|text| text.contains(' '));
    found
}

/// What stands from here to the end of a literal. A line that ends with a backslash goes on with the next one's first word.
fn literal(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(char) = chars.next().filter(|char| *char != '"') {
        match (char, chars.peek()) {
            ('\\', Some('\n')) => while chars.next_if(|char| char.is_whitespace()).is_some() {},
            ('\\', _) => text.extend(chars.next()),
            _ => text.push(char),
        }
    }
    text
}

#[test]
fn no_text_of_an_error_changes_unnoticed() {
    let mut now = String::new();
    for source in SOURCES {
        let texts = sentences(&repository::text(source));
        assert!(!texts.is_empty(), "{source} has no texts any more");
        writeln!(now, "{source}").unwrap();
        texts.iter().for_each(|text| writeln!(now, "  {text}").unwrap());
    }
    if std::env::var("GOLDEN").is_ok_and(|golden| golden == "write") {
        std::fs::write(repository::path(GOLDEN), &now).unwrap();
    }
    let before = repository::text(GOLDEN);
    for (before, now) in before.lines().zip(now.lines()) {
        assert_eq!(before, now, "a text has changed; if it should, GOLDEN=write writes {GOLDEN} anew");
    }
    assert_eq!(before.lines().count(), now.lines().count());
}

#[test]
fn texts_are_read_as_the_compiler_reads_them() {
    let source = r#"
        // "a comment of words"
        let (quote, text) = ('"', "One \"word\" and \
                                   another.");
        f("short", "two words")
        #[cfg(test)]
        mod tests { "of a test" }
    "#;
    assert_eq!(sentences(source), ["One \"word\" and another.", "two words"]);
}
