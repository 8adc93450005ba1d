//! The source files, as words with their lines: no comments, no text in quotes, no tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A word or a sign, and the line that it stands in, counted from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A source file.
pub struct File {
    /// From the repository's root.
    pub path: String,
    /// The names that lead to it from its crate's root.
    pub module: Vec<String>,
    pub lines: Vec<String>,
    /// What it is made of, but tests.
    pub tokens: Vec<Token>,
    /// Whether all of it is tests.
    pub is_test: bool,
}

/// The files below a folder, in order.
pub fn files(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join(folder), &mut paths);
    paths.sort();
    paths.iter().map(|path| File::read(root, folder, path)).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

impl File {
    fn read(root: &Path, folder: &str, path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a source file is UTF-8");
        let path = path.strip_prefix(root).expect("within the repository").to_str().expect("a plain name").to_owned();
        let below = path.strip_prefix(folder).expect("within the folder").trim_start_matches('/');
        let mut module: Vec<_> = below.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if ["mod", "lib", "main"].contains(&module.last().expect("a name").as_str()) {
            module.pop();
        }
        let is_test = module.iter().any(|name| ["tests", "testing", "fake"].contains(&name.as_str()));
        let tokens = without_tests(tokens(&text));
        Self { path, module, lines: text.lines().map(str::to_owned).collect(), tokens, is_test }
    }

    /// The room that it is in: the first name of its module; the root's is empty.
    pub fn room(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }

    /// Where a token stands.
    pub fn at(&self, token: &Token) -> String {
        format!("{}:{}", self.path, token.line)
    }

    /// The names of functions with the token where each begins and the one where it ends.
    pub fn functions(&self) -> Vec<Function> {
        let starts = self.tokens.iter().enumerate().filter(|(index, token)| {
            // A function's type, such as `fn(u8)`, has no name.
            token.text == "fn" && self.tokens.get(index + 1).is_some_and(|name| is_word(&name.text))
        });
        starts.map(|(index, _)| Function::read(&self.tokens, index)).collect()
    }
}

/// A function.
pub struct Function {
    pub name: Token,
    /// How many arguments it takes, itself among them.
    pub arguments: usize,
    /// The last line of it.
    pub end: usize,
}

impl Function {
    fn read(tokens: &[Token], index: usize) -> Self {
        let name = tokens[index + 1].clone();
        let open = after_generics(tokens, index + 2);
        let close = matching(tokens, open);
        let arguments = count_arguments(&tokens[open + 1..close]);
        let mut body = close + 1;
        while !["{", ";"].contains(&tokens[body].text.as_str()) {
            // A returned array has a `;` of its own.
            body = if ["(", "["].contains(&tokens[body].text.as_str()) { matching(tokens, body) + 1 } else { body + 1 };
        }
        let end = if tokens[body].text == "{" { matching(tokens, body) } else { body };
        Self { name, arguments, end: tokens[end].line }
    }
}

/// The index behind `<…>`, if that stands at `index`.
fn after_generics(tokens: &[Token], index: usize) -> usize {
    let mut depth = 0;
    for (offset, token) in tokens[index..].iter().enumerate() {
        match token.text.as_str() {
            "<" => depth += 1,
            ">" => depth -= 1,
            "(" if depth == 0 => return index + offset,
            _ => {}
        }
    }
    panic!("no arguments behind the name in line {}", tokens[index].line)
}

/// The index of the bracket that closes the one at `open`.
fn matching(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    panic!("the bracket of line {} is never closed", tokens[open].line)
}

fn count_arguments(tokens: &[Token]) -> usize {
    let mut depth = 0_i32;
    let mut commas = 0;
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth -= 1,
            "," if depth == 0 && index + 1 < tokens.len() => commas += 1,
            _ => {}
        }
    }
    if tokens.is_empty() { 0 } else { commas + 1 }
}

/// Whether it is a name or a word of the language.
pub fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The words of a name: `HttpCall` and `http_call` have two.
pub fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        let begins = letter == '_' || letter.is_uppercase() && words.last().is_some_and(|word| !is_upper(word));
        if begins {
            words.push(String::new());
        }
        if letter != '_' {
            words.last_mut().expect("one at least").push(letter);
        }
    }
    words.iter().map(|word| word.to_lowercase()).filter(|word| !word.is_empty()).collect()
}

fn is_upper(word: &str) -> bool {
    !word.is_empty() && word.chars().all(char::is_uppercase)
}

/// Takes out each item below `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let starts = |at: usize| {
        let text = tokens[at..].iter().take(7).map(|token| token.text.as_str());
        text.eq(["#", "[", "cfg", "(", "test", ")", "]"])
    };
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if starts(at) {
            let end = tokens[at + 7..].iter().position(|token| token.text == "{" || token.text == ";");
            let end = at + 7 + end.expect("an item below #[cfg(test)]");
            at = 1 + if tokens[end].text == "{" { matching(&tokens, end) } else { end };
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Words and signs. `::` and `->` are one sign each, so that no `>` stands without its `<`.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = token_length(rest, first);
        let (token, behind) = rest.split_at(length);
        let is_comment = token.starts_with("//") || token.starts_with("/*");
        if !is_comment && !first.is_whitespace() {
            let is_text = token.contains('"') || first == '\'';
            tokens.push(Token { text: if is_text { "\"\"".into() } else { token.into() }, line });
        }
        line += token.matches('\n').count();
        rest = behind;
    }
    tokens
}

fn token_length(rest: &str, first: char) -> usize {
    let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    if rest.starts_with("//") {
        return until("\n");
    }
    if rest.starts_with("/*") {
        return until("*/");
    }
    let word = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
    if ["b", "r", "br", "c"].contains(&&rest[..word]) && rest[word..].starts_with(['"', '#']) {
        let hashes = rest[word..].len() - rest[word..].trim_start_matches('#').len();
        if rest[word + hashes..].starts_with('"') {
            let is_raw = rest[..word].contains('r');
            let inside = word + hashes + 1;
            let end = if is_raw { raw_end(&rest[inside..], hashes) } else { quoted_end(&rest[inside..]) };
            return inside + end;
        }
    }
    match first {
        '"' => 1 + quoted_end(&rest[1..]),
        '\'' => char_length(rest),
        _ if rest.starts_with("::") || rest.starts_with("->") || rest.starts_with("=>") => 2,
        _ if word > 0 => word,
        _ => first.len_utf8(),
    }
}

fn raw_end(text: &str, hashes: usize) -> usize {
    let end = format!("\"{}", "#".repeat(hashes));
    text.find(&end).map_or(text.len(), |at| at + end.len())
}

fn quoted_end(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

/// A character in quotes, or only the quote of a lifetime.
fn char_length(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match letters.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(text.len(), |at| at + 4),
        Some(_) => letters.next().filter(|(_, letter)| *letter == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

/// A file for each module.
pub fn by_module(files: &[File]) -> BTreeMap<&[String], usize> {
    files.iter().enumerate().map(|(index, file)| (file.module.as_slice(), index)).collect()
}
