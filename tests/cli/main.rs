//! The program `realtime-byok`, run as a person runs it.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_realtime-byok"))
        .args(arguments)
        .env_clear()
        .env("OPENAI_API_KEY", "sk-of-the-provider")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads no input closes it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_configuration_without_errors_is_silent_and_0() {
    let good = r#"{"providers":{"openai":{"kind":"openai","key":{"env":"OPENAI_API_KEY"}}},
        "callers":{"web":{"tokens":[{"sha256":"83be9dcac61a72100a43b838931d8d7b40c9ab8cd416db1db8f9ce90e2260ee3"}]}},
        "policies":{"default":{"provider":"openai"}}}"#;
    let output = run(&["check", "-"], good);
    assert_eq!((output.status.code(), text(&output.stdout), text(&output.stderr)), (Some(0), "", ""));
}

#[test]
fn every_error_is_a_line_with_its_place_and_1() {
    let bad =
        r#"{"providers":{"openai":{"kind":"azure","key":{"env":"NOT_SET"}}},"policies":{"default":{"provider":"x"}}}"#;
    let output = run(&["check", "-"], bad);
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(output.status.code(), Some(1));
    assert!(lines.len() > 1 && lines.iter().all(|line| line.starts_with("-: error: ")), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("providers.openai.kind") && line.contains("azure_openai")),
        "{lines:?}"
    );
}

#[test]
fn what_cannot_be_read_and_what_is_not_understood_is_2() {
    let output = run(&["check", "/nowhere/at/all.json"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("/nowhere/at/all.json: "));
    for arguments in [&[][..], &["check"], &["chekc", "x"]] {
        let output = run(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("Usage: realtime-byok check"));
    }
    assert_eq!(run(&["--help"], "").status.code(), Some(0));
}
