//! Each input that fuzzing begins with, and each that it once found, on the compiler that everything else is built with.

#[path = "../../fuzz/targets/json.rs"]
mod json;

/// A target's name and function.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 1] = [("json", json::run)];

#[test]
fn seeds_pass() {
    for (target, run) in TARGETS {
        let folder = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        seeds.sort();
        assert!(!seeds.is_empty());
        for seed in seeds {
            println!("{}", seed.display());
            run(&std::fs::read(seed).unwrap());
        }
    }
}
