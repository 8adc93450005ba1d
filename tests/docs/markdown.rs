//! As much of Markdown as the documentation has.

/// A fenced block of code.
pub struct Fence {
    /// Where it begins: `README.md:12`.
    pub location: String,
    /// What it says of its language.
    pub language: String,
    /// What stands in it.
    pub text: String,
}

/// The fenced blocks of a document, in order.
pub fn fences(name: &str, document: &str) -> Vec<Fence> {
    let mut fences: Vec<Fence> = Vec::new();
    let mut is_open = false;
    for (index, line) in document.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(language) if !is_open => {
                let location = format!("{name}:{}", index + 1);
                fences.push(Fence { location, language: language.to_owned(), text: String::new() });
                is_open = true;
            }
            Some(_) => is_open = false,
            None if is_open => {
                let text = &mut fences.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_open, "{name}: a fence is not closed");
    fences
}

/// The document's lines outside of fences.
pub fn prose(document: &str) -> String {
    let pieces = document.split("\n```").enumerate();
    pieces.filter(|(index, _)| index % 2 == 0).map(|(_, piece)| piece).collect::<Vec<_>>().join("\n")
}

/// The targets of the document's links.
pub fn links(document: &str) -> Vec<String> {
    let targets = document.split("](").skip(1);
    targets.map(|rest| rest.split_once(')').unwrap().0.to_owned()).collect()
}

/// What headings are linked by.
pub fn anchors(document: &str) -> Vec<String> {
    let prose = prose(document);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
            kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
        })
        .collect()
}

/// The rows of the table below this heading row, each as its cells.
pub fn table(document: &str, head: &str) -> Vec<Vec<String>> {
    let mut lines = document.lines().skip_while(|line| *line != head).skip(2);
    let rows = lines.by_ref().take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backticks in a text.
pub fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}
