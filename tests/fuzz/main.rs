//! Each input that fuzzing begins with, and each that it once found, on the compiler that everything else is built with.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/targets/json.rs"]
mod json;

#[test]
fn seeds_of_the_json_target_pass() {
    replay("json", json::run);
}

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    for seed in seeds {
        println!("{}", seed.display());
        run(&fs::read(seed).unwrap());
    }
}
