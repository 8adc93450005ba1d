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
fn every_alert_has_a_runbook_with_a_section_of_its_own() {
    let rules = repository::text("envoy/prometheus/rules.yml");
    let values = |name: &str| {
        let lines = rules.lines().filter_map(|line| line.trim().strip_prefix(name));
        lines.map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    let (alerts, runbooks) = (values("- alert:"), values("runbook_url:"));
    let wanted: Vec<_> = alerts.iter().map(|alert| format!("docs/observability.md#{}", alert.to_lowercase())).collect();
    assert_eq!(runbooks, wanted);
    let sections = anchors(&repository::text("docs/observability.md"));
    assert!(!alerts.is_empty() && alerts.iter().all(|alert| sections.contains(&alert.to_lowercase())), "{alerts:?}");
}

#[test]
fn every_page_is_in_the_index() {
    let index = links(&repository::text("docs/README.md"));
    for name in repository::pages() {
        let from_docs = name.strip_prefix("docs/").map_or_else(|| format!("../{name}"), ToOwned::to_owned);
        assert!(name == "docs/README.md" || index.contains(&from_docs), "{name}");
    }
}

#[test]
fn every_section_is_in_its_pages_list() {
    for name in repository::pages() {
        let document = prose(&repository::text(&name));
        let listed: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("- [")).collect();
        let sections = document.lines().filter(|line| line.starts_with("## ")).map(|line| anchors(line).remove(0));
        let own: Vec<_> = sections.map(|anchor| format!("](#{anchor})")).collect();
        if document.contains("\n- [") && listed.iter().any(|line| line.contains("](#")) {
            let shown: Vec<_> = listed.iter().filter(|line| line.contains("](#")).collect();
            assert_eq!(shown.len(), own.len(), "{name}");
            assert!(shown.iter().zip(&own).all(|(line, link)| line.ends_with(link.as_str())), "{name}");
        }
    }
}

#[test]
fn every_file_that_is_named_exists() {
    let folders =
        [".ci/", "benches/", "cli/", "docs/", "envoy/", "examples/", "fuzz/", "hosts/", "src/", "tests/", "tools/"];
    for document in &repository::documents() {
        let own_folder = Path::new(document).parent().unwrap();
        let spans = code(&prose(&repository::text(document)));
        let words = spans.iter().flat_map(|span| span.split([' ', '=', '\'']));
        for name in words.filter(|word| folders.iter().any(|folder| word.starts_with(folder))) {
            // Of a pattern, the folder that it is in.
            let file = name.split_once('*').map_or(name, |(start, _)| start.rsplit_once('/').unwrap().0);
            let places = [Path::new(file).to_owned(), own_folder.join(file)];
            assert!(
                places.iter().any(|place| repository::path(place.to_str().unwrap()).exists()),
                "{document}: {name}"
            );
        }
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
