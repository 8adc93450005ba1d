//! How the house is built: what the compiler does not hold, as rules with the places that break them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking; clippy.toml excuses only what stands in a test itself"
)]
// Nobody else can reach what a test has.
#![allow(unreachable_pub)]

mod imports;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use imports::Imports;
use source::{File, files, words};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 60;
const MAX_ARGUMENTS: usize = 5;
/// Of all that `hosts/proxy_wasm` holds beside its wrappers of the ABI, without tests.
const MAX_HOST_LINES: usize = 350;

/// Paths that no code of the core names, and why.
const FORBIDDEN: [(&str, &str); 14] = [
    ("Rc", "the core goes from thread to thread: Arc, or one owner"),
    ("Weak", "the worker owns its streams: StreamId"),
    ("RefCell", "the worker owns its state: &mut"),
    ("Cell", "the worker owns its state: &mut"),
    ("OnceCell", "the worker owns its state: &mut"),
    ("thread_local", "the worker owns its state: &mut"),
    ("SystemTime::now", "time is an argument"),
    ("Instant::now", "time is an argument"),
    ("proxy_wasm", "only hosts know their host"),
    ("log", "what is to be logged is a value"),
    ("println", "the core has no terminal"),
    ("eprintln", "the core has no terminal"),
    ("todo", "what is not done is not there"),
    ("unimplemented", "what is not done is not there"),
];

/// Words that name nothing a stranger knows, and what does.
const BANNED: [(&str, &str); 13] = [
    ("told", "reported"),
    ("untold", "unreported"),
    ("around", "host"),
    ("onward", "forward"),
    ("farewell", "closing"),
    ("asking", "stream_options"),
    ("called", "call"),
    ("seat", "session"),
    ("bury", "reap"),
    ("owe", "unwritten"),
    ("owed", "unwritten"),
    ("alike", "labels"),
    ("presence", "heartbeat"),
];

/// Fails with all places, each on a line of its own.
#[track_caller]
fn hold(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}\n", broken.join("\n  "));
}

fn core() -> Vec<File> {
    files("src")
}

/// The core's files and those of all hosts.
fn all() -> Vec<File> {
    core().into_iter().chain(files("hosts").into_iter().filter(|file| file.path.contains("/src/"))).collect()
}

/// Whether it is one of a host's wrappers of its ABI.
fn is_abi(file: &File) -> bool {
    file.path.starts_with("hosts/") && (file.path.ends_with("/abi.rs") || file.path.contains("/abi/"))
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let files = core();
    hold("files use each other in a circle", &Imports::of(&files).circles());
}

#[test]
fn the_map_in_lib_rs_is_what_rooms_use() {
    let files = core();
    let rooms = Imports::of(&files).rooms();
    let layers = layers(&rooms);
    let map = map(&files);
    let place = |room: &str| map.iter().position(|layer| layer.contains(room));
    let mut broken = Vec::new();
    for (room, used) in &rooms {
        let Some(layer) = place(room) else {
            broken.push(format!("src/lib.rs: the map does not name {room}"));
            continue;
        };
        let up = used.iter().filter(|(used, _)| place(used).is_some_and(|used| used <= layer));
        broken.extend(up.map(|(used, place)| format!("{place}: {room} uses {used}, which does not stand behind it")));
    }
    let names = map.iter().flatten().filter(|room| !rooms.contains_key(room.as_str()));
    broken.extend(names.map(|room| format!("src/lib.rs: the map names {room}, which is no module")));
    if broken.is_empty() && map != layers {
        broken.push(format!("src/lib.rs: each room should stand right in front of what it uses: `{}`", drawn(&layers)));
    }
    hold("the map in lib.rs is not what modules use", &broken);
}

#[test]
fn the_table_in_lib_rs_names_each_room_once() {
    let files = core();
    let rooms = files.iter().filter(|file| !file.is_test).map(File::room);
    let rooms: BTreeSet<_> = rooms.filter(|room| !room.is_empty()).collect();
    let rows = lib(&files).lines.iter().filter(|line| line.starts_with("//! | [`"));
    let named: Vec<_> = rows
        .flat_map(|row| row.split(" | ").nth(1).unwrap().split("[`").skip(1))
        .map(|name| name.split('`').next().unwrap())
        .collect();
    let missing = rooms.iter().filter(|room| !named.contains(room)).map(|room| format!("{room} is not in the table"));
    let unknown = named.iter().filter(|name| !rooms.contains(*name)).map(|name| format!("{name} is no module"));
    let twice = rooms.iter().filter(|room| named.iter().filter(|name| name == room).count() > 1);
    let twice = twice.map(|room| format!("{room} is in the table twice"));
    hold("the table in src/lib.rs", &missing.chain(unknown).chain(twice).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let long = |file: &File| {
        let lines = file.lines.len();
        (lines > MAX_FILE_LINES).then(|| format!("{}: {lines} lines", file.path))
    };
    hold("files of one subject are shorter", &all().iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn the_first_line_of_a_file_says_what_is_in_it() {
    let silent = |file: &File| {
        let first = file.lines.first().map_or("", String::as_str);
        (!first.starts_with("//! ") || first.len() < 12).then(|| format!("{}:1: {first}", file.path))
    };
    hold("a file begins with what is in it", &all().iter().filter_map(silent).collect::<Vec<_>>());
}

#[test]
fn no_function_is_too_long_or_takes_too_much() {
    let mut broken = Vec::new();
    for file in all().iter().filter(|file| !is_abi(file)) {
        for function in file.functions() {
            let (at, name) = (file.at(&function.name), &function.name.text);
            let lines = function.end + 1 - function.name.line;
            if lines > MAX_FUNCTION_LINES {
                broken.push(format!("{at}: {name} has {lines} lines"));
            }
            if function.arguments > MAX_ARGUMENTS {
                broken.push(format!("{at}: {name} takes {} arguments", function.arguments));
            }
        }
    }
    hold("functions are short and take little", &broken);
}

#[test]
fn the_core_has_one_owner_no_clock_and_no_host() {
    let mut broken = BTreeSet::new();
    for file in core().iter().filter(|file| !file.is_test) {
        for (path, why) in FORBIDDEN {
            let parts: Vec<_> = path.split("::").collect();
            for (index, token) in file.tokens.iter().enumerate() {
                let here =
                    file.tokens[index..].iter().filter(|token| token.text != "::").map(|token| token.text.as_str());
                let is_path = here.take(parts.len()).eq(parts.iter().copied());
                // A module's name is a word like others where it is not part of a path.
                let is_crate = path != "log" || file.tokens.get(index + 1).is_some_and(|token| token.text == "::");
                if is_path && is_crate {
                    broken.insert(format!("{}: {path}: {why}", file.at(token)));
                }
            }
        }
    }
    hold("what has no place in the core", &broken.into_iter().collect::<Vec<_>>());
}

#[test]
fn names_are_words_that_others_use() {
    let mut broken = BTreeSet::new();
    for file in all().iter().filter(|file| !file.is_test) {
        for function in file.functions() {
            let name = &function.name.text;
            // These two are others' names: of the standard library's collections, and of the SDK's trait.
            if name.starts_with("get_") && !["get_mut", "get_type"].contains(&name.as_str()) {
                broken.insert(format!("{}: {name}: without get_", file.at(&function.name)));
            }
        }
        for token in &file.tokens {
            let words = words(&token.text);
            for (word, better) in BANNED {
                if words.iter().any(|known| known == word) {
                    broken.insert(format!("{}: {}: rather {better}", file.at(token), token.text));
                }
            }
        }
    }
    hold("names that only we understand", &broken.into_iter().collect::<Vec<_>>());
}

#[test]
fn unsafe_code_stands_only_in_the_hosts_wrappers_of_their_abi() {
    let files = all();
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| !is_abi(file)) {
        let places = file.tokens.iter().filter(|token| token.text == "unsafe");
        broken.extend(places.map(|token| format!("{}: unsafe", file.at(token))));
    }
    if !lib(&files).lines.iter().any(|line| line == "#![forbid(unsafe_code)]") {
        broken.push("src/lib.rs: #![forbid(unsafe_code)] is missing".into());
    }
    hold("unsafe code", &broken);
}

#[test]
fn a_host_only_reads_calls_and_applies() {
    let host = files("hosts/proxy_wasm/src");
    let code = |file: &File| file.tokens.iter().map(|token| token.line).collect::<BTreeSet<_>>().len();
    let lines: BTreeMap<_, _> = host.iter().filter(|file| !is_abi(file)).map(|file| (&file.path, code(file))).collect();
    let sum: usize = lines.values().sum();
    assert!(sum <= MAX_HOST_LINES, "the proxy-wasm host decides too much: {sum} lines of code, {lines:?}");
}

#[test]
fn the_module_that_is_shipped_has_every_callback_that_the_host_listens_to() {
    let kept = std::fs::read_to_string("tools/optimise.mjs").unwrap();
    let mut broken = Vec::new();
    for file in files("hosts/proxy_wasm/src").iter().filter(|file| !file.is_test) {
        for function in file.functions() {
            let Some(callback) = function.name.text.strip_prefix("on_") else { continue };
            let callback = callback.strip_prefix("http_").filter(|rest| *rest != "call_response").unwrap_or(callback);
            if !kept.contains(&format!("'proxy_on_{callback}'")) {
                broken.push(format!("{}: tools/optimise.mjs drops proxy_on_{callback}", file.at(&function.name)));
            }
        }
    }
    hold("callbacks that nobody calls", &broken);
}

#[test]
fn tests_stand_last() {
    let mut broken = Vec::new();
    for file in all() {
        let mut lines = file.lines.iter().enumerate().skip_while(|(_, line)| *line != "mod tests {").skip(1);
        lines.by_ref().find(|(_, line)| *line == "}");
        broken.extend(lines.next().map(|(index, _)| format!("{}:{}: something follows tests", file.path, index + 1)));
    }
    hold("tests stand last", &broken);
}

fn lib(files: &[File]) -> &File {
    files.iter().find(|file| file.path == "src/lib.rs").expect("src/lib.rs")
}

/// The layers as `lib.rs` draws them: `` `a → {b, c} → d` ``.
fn map(files: &[File]) -> Vec<BTreeSet<String>> {
    let docs = lib(files).lines.iter().filter_map(|line| line.strip_prefix("//! "));
    let docs = docs.collect::<Vec<_>>().join(" ");
    let drawn = docs.split('`').find(|code| code.contains(" → ")).expect("src/lib.rs: a map, `a → {b, c} → d`");
    let layer = |layer: &str| layer.trim_matches(['{', '}']).split(", ").map(str::to_owned).collect();
    drawn.split(" → ").map(layer).collect()
}

/// Each room right in front of what it uses, from the last.
fn layers(rooms: &BTreeMap<&str, BTreeMap<&str, String>>) -> Vec<BTreeSet<String>> {
    let mut heights: BTreeMap<&str, usize> = BTreeMap::new();
    while heights.len() < rooms.len() {
        let height = |used: &BTreeMap<&str, String>| {
            used.keys().map(|used| heights.get(used).map(|height| height + 1)).collect::<Option<Vec<_>>>()
        };
        let next = rooms.iter().find_map(|(room, used)| {
            let heights_of_used = height(used).filter(|_| !heights.contains_key(room))?;
            Some((*room, heights_of_used.into_iter().max().unwrap_or_default()))
        });
        let Some((room, height)) = next else {
            let left: Vec<_> = rooms.keys().filter(|room| !heights.contains_key(*room)).collect();
            panic!("rooms use each other in a circle, some of {left:?}");
        };
        heights.insert(room, height);
    }
    let mut layers = vec![BTreeSet::new(); heights.values().max().map_or(0, |height| height + 1)];
    for (room, height) in heights {
        layers[height].insert(room.to_owned());
    }
    layers.reverse();
    layers
}

fn drawn(layers: &[BTreeSet<String>]) -> String {
    let layer = |layer: &BTreeSet<String>| {
        let names = layer.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if layer.len() > 1 { format!("{{{names}}}") } else { names }
    };
    layers.iter().map(layer).collect::<Vec<_>>().join(" → ")
}
