//! Which file uses which, and which room.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{File, Token, by_module, is_word};

/// The files of a crate and what each uses of the others.
pub struct Imports<'a> {
    files: &'a [File],
    modules: BTreeMap<&'a [String], usize>,
    /// What each file's `use` items bind: a name, and the path that it stands for.
    bound: Vec<BTreeMap<String, Vec<String>>>,
    /// For each file the files that it uses, with the first place of each.
    edges: Vec<BTreeMap<usize, String>>,
}

impl<'a> Imports<'a> {
    /// Reads the crate's imports, and every path that is written out.
    pub fn of(files: &'a [File]) -> Self {
        let mut imports = Self { files, modules: by_module(files), bound: Vec::new(), edges: Vec::new() };
        imports.bound = (0..files.len()).map(|index| imports.bindings(index)).collect();
        imports.edges = (0..files.len()).map(|index| imports.uses(index)).collect();
        imports
    }

    /// Each room with the rooms that it uses and a place where it does.
    pub fn rooms(&self) -> BTreeMap<&'a str, BTreeMap<&'a str, String>> {
        let mut rooms: BTreeMap<_, BTreeMap<_, String>> = BTreeMap::new();
        for (file, edges) in self.files.iter().zip(&self.edges) {
            if file.room().is_empty() || file.is_test {
                continue;
            }
            let room = rooms.entry(file.room()).or_default();
            for (used, place) in edges {
                let used = self.files[*used].room();
                if used != file.room() && !used.is_empty() {
                    room.entry(used).or_insert_with(|| place.clone());
                }
            }
        }
        rooms
    }

    /// A way from a file over others back to itself, each step with its place; the shortest for each file that has one.
    pub fn circles(&self) -> Vec<String> {
        let mut found = BTreeSet::new();
        let mut circles = Vec::new();
        for start in 0..self.files.len() {
            let Some(way) = self.way_back(start) else { continue };
            let members: BTreeSet<_> = way.iter().copied().collect();
            if found.insert(members) {
                let steps = way.iter().enumerate().map(|(at, from)| {
                    let to = way[(at + 1) % way.len()];
                    format!("{} uses {}", self.edges[*from][&to], self.files[to].path)
                });
                circles.push(steps.collect::<Vec<_>>().join(", "));
            }
        }
        circles
    }

    fn way_back(&self, start: usize) -> Option<Vec<usize>> {
        let mut before = BTreeMap::new();
        let mut next = std::collections::VecDeque::from([start]);
        while let Some(file) = next.pop_front() {
            for used in self.edges[file].keys() {
                if *used == start {
                    let mut way = vec![file];
                    while way[way.len() - 1] != start {
                        way.push(before[&way[way.len() - 1]]);
                    }
                    way.reverse();
                    return Some(way);
                }
                if !before.contains_key(used) {
                    before.insert(*used, file);
                    next.push_back(*used);
                }
            }
        }
        None
    }

    /// What the `use` items of a file bind.
    fn bindings(&self, index: usize) -> BTreeMap<String, Vec<String>> {
        let file = &self.files[index];
        let mut bound = BTreeMap::new();
        for (path, name, _, _) in items(&file.tokens) {
            if let Some(path) = self.absolute(file, &path) {
                bound.insert(name, path);
            }
        }
        bound
    }

    /// The files whose items a file uses, with the first place of each.
    fn uses(&self, index: usize) -> BTreeMap<usize, String> {
        let file = &self.files[index];
        let mut used = BTreeMap::new();
        if file.is_test {
            return used;
        }
        let code = without_uses(&file.tokens);
        let mut note = |path: &[String], token: &Token| {
            if let Some(target) = self.file_of(path, 0)
                && target != index
            {
                used.entry(target).or_insert_with(|| file.at(token));
            }
        };
        for (path, name, token, is_exported) in items(&file.tokens) {
            let Some(path) = self.absolute(file, &path) else { continue };
            // What is only handed on is not used here, and a module that is imported is used by what is taken of it.
            let is_named = code.iter().any(|token| token.text == name);
            if !self.modules.contains_key(path.as_slice()) && (!is_exported || is_named) {
                note(&path, &token);
            }
        }
        for (path, token) in paths(&code) {
            let first = &path[0];
            let path = match self.bound[index].get(first) {
                Some(bound) => Some([bound.as_slice(), &path[1..]].concat()),
                None => self.absolute(file, &path),
            };
            if let Some(path) = path.filter(|path| !self.modules.contains_key(path.as_slice())) {
                note(&path, &token);
            }
        }
        used
    }

    /// A path from the crate's root, if it is one of the crate's.
    fn absolute(&self, file: &File, path: &[String]) -> Option<Vec<String>> {
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => file.module.clone(),
            first => {
                let child = [file.module.as_slice(), &[first.to_owned()]].concat();
                return self.modules.contains_key(child.as_slice()).then(|| [file.module.as_slice(), path].concat());
            }
        };
        let mut rest = path;
        while let Some(first) = rest.first().filter(|first| ["crate", "self", "super"].contains(&first.as_str())) {
            if first == "super" {
                base.pop();
            }
            rest = &rest[1..];
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The file that an absolute path's item is written in, however many files hand it on.
    fn file_of(&self, path: &[String], depth: usize) -> Option<usize> {
        let length = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
        let index = self.modules[&path[..length]];
        let handed_on = path.get(length).and_then(|name| self.bound[index].get(name));
        match handed_on {
            Some(origin) if depth < 8 => {
                let origin = [origin.as_slice(), &path[length + 1..]].concat();
                self.file_of(&origin, depth + 1).or(Some(index))
            }
            _ => Some(index),
        }
    }
}

/// What each `use` item imports: the path, the name here, where, and whether others can import it from here.
fn items(tokens: &[Token]) -> Vec<(Vec<String>, String, Token, bool)> {
    let mut items = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        // `use<'a>` is no import.
        if token.text == "use" && tokens[index + 1].text != "<" {
            let is_exported = index > 0 && ["pub", ")"].contains(&tokens[index - 1].text.as_str());
            let end = index + tokens[index..].iter().position(|token| token.text == ";").expect("the end of an import");
            let mut tree = Vec::new();
            expand(&tokens[index + 1..end], &mut Vec::new(), &mut tree);
            items.extend(tree.into_iter().map(|(path, name, token)| (path, name, token, is_exported)));
        }
    }
    items
}

/// `a::{b, c as d}` into `a::b` by the name `b` and `a::c` by the name `d`.
fn expand(tree: &[Token], prefix: &mut Vec<String>, found: &mut Vec<(Vec<String>, String, Token)>) {
    let before = prefix.len();
    let mut last: Option<&Token> = None;
    let mut at = 0;
    while at < tree.len() {
        let token = &tree[at];
        match token.text.as_str() {
            "{" => {
                for branch in branches(&tree[at + 1..tree.len() - 1]) {
                    expand(branch, prefix, found);
                }
                prefix.truncate(before);
                return;
            }
            "as" => {
                found.push((prefix.clone(), tree[at + 1].text.clone(), token.clone()));
                prefix.truncate(before);
                return;
            }
            "::" => {}
            // `a::{self}` is `a`.
            "self" if !prefix.is_empty() => last = last.or(Some(token)),
            _ => {
                prefix.push(token.text.clone());
                last = Some(token);
            }
        }
        at += 1;
    }
    if let (Some(token), Some(name)) = (last, prefix.last()) {
        found.push((prefix.clone(), name.clone(), token.clone()));
    }
    prefix.truncate(before);
}

/// What stands between the commas of a group.
fn branches(group: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0;
    let branches = group.split(|token| {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        token.text == "," && depth == 0
    });
    branches.filter(|branch| !branch.is_empty()).collect()
}

fn without_uses(tokens: &[Token]) -> Vec<Token> {
    let mut code = Vec::new();
    let mut is_use = false;
    for (index, token) in tokens.iter().enumerate() {
        is_use = is_use || token.text == "use" && tokens[index + 1].text != "<";
        if !is_use {
            code.push(token.clone());
        }
        is_use = is_use && token.text != ";";
    }
    code
}

/// Every path of two names at least: `a::b::C`.
fn paths(tokens: &[Token]) -> Vec<(Vec<String>, Token)> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let start = at;
        let mut path = vec![tokens[at].text.clone()];
        while is_word(&tokens[at].text)
            && tokens.get(at + 1).is_some_and(|token| token.text == "::")
            && tokens.get(at + 2).is_some_and(|token| is_word(&token.text))
        {
            at += 2;
            path.push(tokens[at].text.clone());
        }
        if path.len() > 1 {
            paths.push((path, tokens[start].clone()));
        }
        at += 1;
    }
    paths
}
