//! Each input that fuzzing begins with, and each that it once found, on the compiler that everything else is built with.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking; clippy.toml excuses only what stands in a test itself"
)]
// Its targets are public to cargo-fuzz.
#![allow(unreachable_pub)]

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use targets::TARGETS;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");

#[test]
fn seeds_pass() {
    let mut failed = Vec::new();
    for (target, run) in TARGETS {
        let mut seeds: Vec<_> =
            std::fs::read_dir(format!("{FOLDER}/seeds/{target}")).unwrap().map(|entry| entry.unwrap().path()).collect();
        seeds.sort();
        assert!(!seeds.is_empty());
        for seed in seeds {
            let bytes = std::fs::read(&seed).unwrap();
            if std::panic::catch_unwind(|| run(&bytes)).is_err() {
                failed.push(format!("{target}/{}", seed.file_name().unwrap().to_str().unwrap()));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn every_target_is_run_and_described() {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(format!("{FOLDER}/{folder}")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let targets = TARGETS.map(|(target, _)| target);
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("seeds"), targets);
    let (manifest, readme) =
        ["Cargo.toml", "README.md"].map(|file| std::fs::read_to_string(format!("{FOLDER}/{file}")).unwrap()).into();
    for target in targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
        assert!(readme.contains(&format!("| `{target}` |")), "{target}");
    }
}
