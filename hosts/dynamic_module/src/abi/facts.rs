//! The bindings beside `abi.txt`, the list of the header's facts.

use super::bindings::{NUMBERS, SIGNATURES};

const FACTS: &str = include_str!("../../abi.txt");

/// The list's word for each type of the bindings.
const WORDS: [(&str, &str); 17] = [
    ("ConfigPtr", "config"),
    ("FilterPtr", "filter"),
    ("SchedulerPtr", "scheduler"),
    ("ModuleBuffer", "buffer"),
    ("EnvoyBuffer", "envoy_buffer"),
    ("ModuleHeader", "header"),
    ("EnvoyHeader", "envoy_header"),
    ("LogLevel", "log_level"),
    ("HeaderType", "http_header_type"),
    ("BodyType", "http_body_type"),
    ("HeadersStatus", "headers_status"),
    ("BodyStatus", "body_status"),
    ("MetadataSource", "metadata_source"),
    ("AttributeId", "attribute_id"),
    ("ResetReason", "http_filter_stream_reset_reason"),
    ("usize", "size"),
    ("bool", "bool"),
];

fn facts(kind: &str) -> Vec<&'static str> {
    FACTS.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')).collect()
}

fn word(r#type: &str) -> String {
    let r#type = r#type.trim();
    match r#type.strip_prefix("*mut ") {
        Some(first) => format!("{}*", word(first)),
        None => WORDS
            .iter()
            .find(|(ours, _)| *ours == r#type)
            .map_or_else(|| r#type.replacen('u', "uint", 1), |(_, word)| (*word).to_owned()),
    }
}

#[test]
fn functions_have_the_types_that_the_header_has() {
    let declared = SIGNATURES.iter().map(|(name, signature)| {
        let signature: String = signature.chars().filter(|char| *char != '\n').collect();
        let (arguments, result) = signature.strip_prefix('(').unwrap().split_once(')').unwrap();
        let arguments: Vec<_> = arguments.split(',').filter(|part| !part.trim().is_empty()).map(word).collect();
        let result = result.trim().strip_prefix("->").map(|result| format!(" -> {}", word(result)));
        format!("{name}({}){}", arguments.join(", "), result.unwrap_or_default())
    });
    assert_eq!(declared.collect::<Vec<_>>(), facts("callback"));
}

#[test]
fn numbers_are_those_of_the_header() {
    let declared = NUMBERS.iter().map(|(name, variant, number)| format!("{} {variant} {number}", word(name)));
    assert_eq!(declared.collect::<Vec<_>>(), facts("number"));
}

#[test]
fn each_hook_of_the_header_is_there() {
    let (source, _) = include_str!("hooks.rs").split_once("#[cfg(test)]").unwrap();
    for hook in facts("hook") {
        let (name, _) = hook.split_once('(').unwrap();
        assert_eq!(source.matches(&format!("envoy_dynamic_module_on_{name}(")).count(), 1, "{name}");
    }
    assert_eq!(source.matches("envoy_dynamic_module_on_").count(), facts("hook").len());
}
