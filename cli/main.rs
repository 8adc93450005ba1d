//! `realtime-byok`, the filter's program beside Envoy: `check` reads plugin configurations as the filter does.

use std::fs::File;
use std::io::{Read, stdin};
use std::process::ExitCode;

use realtime_byok::config::{self, Planned};

const USAGE: &str = "Usage: realtime-byok check FILE...

Reads plugin configurations as the filter does at load: JSON, or a serialized
google.protobuf.Struct; - is standard input. Variables are taken from the
environment. Errors and warnings go to standard output, each with its place.

Exit status: 0 without errors, 1 with any, 2 if something could not be read.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, files)) if command == "check" && !files.is_empty() => check(files),
        Some((flag, [])) if flag == "--help" => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Checks all files, and ends as badly as the worst of them.
fn check(files: &[String]) -> ExitCode {
    let worst = files.iter().map(|file| match read(file) {
        Ok(configuration) => report(file, &configuration),
        Err(error) => {
            eprintln!("{file}: {error}");
            2
        }
    });
    ExitCode::from(worst.max().unwrap_or(2))
}

fn read(file: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == "-" {
        stdin().lock().read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn report(file: &str, configuration: &[u8]) -> u8 {
    match config::load(configuration, &|name| std::env::var(name).ok()) {
        Ok(Planned { warnings, .. }) => {
            warnings.iter().for_each(|warning| println!("{file}: warning: {warning}"));
            0
        }
        Err(errors) => {
            errors.iter().for_each(|error| println!("{file}: error: {error}"));
            1
        }
    }
}
