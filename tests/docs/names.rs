//! What the documentation names exists: files, headings, commands.

use std::path::Path;

use crate::markdown::{anchors, code, fences, links, prose};
use crate::repository;

#[test]
fn every_link_leads_somewhere() {
    for name in repository::documents() {
        let document = repository::text(&name);
        let folder = Path::new(&name).parent().unwrap();
        for link in links(&prose(&document)).iter().filter(|link| !link.starts_with("https://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { Path::new(&name).to_owned() } else { folder.join(file) };
            let target = target.to_str().unwrap();
            assert!(repository::path(target).exists(), "{name}: {link}");
            assert!(
                anchor.is_empty() || anchors(&repository::text(target)).iter().any(|one| one == anchor),
                "{name}: {link}"
            );
        }
    }
}

#[test]
fn every_file_that_the_readme_names_exists() {
    let document = repository::text("README.md");
    let folders = [".ci/", "benches/", "docs/", "envoy/", "src/", "tests/"];
    let names: Vec<_> = code(&prose(&document))
        .into_iter()
        .filter(|name| folders.iter().any(|folder| name.starts_with(folder)))
        .collect();
    for name in &names {
        assert!(repository::path(name).exists(), "{name}");
    }
}

#[test]
fn every_target_of_make_that_is_named_exists() {
    let makefile = repository::text("Makefile");
    let mut found = 0;
    for name in repository::documents() {
        let document = repository::text(&name);
        let shown = fences(&name, &document).into_iter().filter(|fence| fence.language == "sh").map(|fence| fence.text);
        let commands = shown.flat_map(|text| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>());
        for command in commands.chain(code(&prose(&document))) {
            let mut words = command.split(' ').skip_while(|word| word.contains('='));
            if words.next() == Some("make") {
                let target = words.next().unwrap();
                assert!(makefile.contains(&format!("\n{target}: ")), "{name}: {command}");
                found += 1;
            }
        }
    }
    assert!(found > 0);
}
