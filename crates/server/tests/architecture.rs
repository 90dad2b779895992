//! The pages about this repository name what is there: paths and names of `ARCHITECTURE.md`, links of every page.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the repository.
fn root() -> Result<PathBuf, Box<dyn Error>> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?)
}

/// The texts between single back quotes, outside of blocks. A quoted text may go on in the next line.
fn quoted(page: &str) -> Vec<String> {
    let mut in_block = false;
    let mut text = String::new();
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether a Rust source defines something of this name.
fn defines(source: &str, name: &str) -> bool {
    const KINDS: [&str; 6] = ["fn", "struct", "enum", "trait", "type", "const"];
    let words: Vec<&str> = source.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    words.windows(2).any(|pair| matches!(pair, [kind, named] if KINDS.contains(kind) && *named == name))
}

#[test]
fn every_path_and_name_in_the_architecture_is_there() -> Result<(), Box<dyn Error>> {
    let root = root()?;
    let page = fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let named: Vec<String> = quoted(&page).into_iter().filter(|text| text.starts_with("crates/")).collect();
    assert!(named.len() > 50, "only {} paths were found in ARCHITECTURE.md", named.len());
    let mut wrong = Vec::new();
    for text in named {
        let (path, name) = match text.split_once("::") {
            Some((path, name)) => (path, Some(name)),
            None => (text.as_str(), None),
        };
        let there = match name {
            None => root.join(path).exists(),
            Some(name) => fs::read_to_string(root.join(path)).is_ok_and(|source| defines(&source, name)),
        };
        if !there {
            wrong.push(text);
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md names what is not there: {wrong:#?}");
    Ok(())
}

/// The pages of the repository: those beside the README and those in `docs`.
fn pages(root: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut pages = Vec::new();
    for folder in [root.to_owned(), root.join("docs")] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    Ok(pages)
}

/// The anchors of a page's headings, as hosts of repositories make them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_a_page_leads_somewhere() -> Result<(), Box<dyn Error>> {
    let root = root()?;
    let (mut followed, mut wrong) = (0, Vec::new());
    for page in pages(&root)? {
        let text = fs::read_to_string(&page)?;
        let folder = page.parent().unwrap_or(&root);
        for (_, rest) in text.match_indices("](").map(|(at, found)| text.split_at(at + found.len())) {
            let target = rest.split(')').next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { folder.join(path) };
            let leads = match anchor {
                "" => file.exists(),
                anchor => fs::read_to_string(&file).is_ok_and(|there| anchors(&there).iter().any(|one| one == anchor)),
            };
            followed += 1;
            if !leads {
                wrong.push(format!("{}: {target}", page.strip_prefix(&root)?.display()));
            }
        }
    }
    assert!(followed > 10, "only {followed} links were found");
    assert!(wrong.is_empty(), "links that lead nowhere: {wrong:#?}");
    Ok(())
}
