//! The documentation says what the provider says of itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use acceptance_tests::Documentation;

#[test]
fn the_documentation_is_as_cargo_docs_writes_it_with_every_example_on_a_page() {
    let documentation = Documentation::new().expect("documentation");
    let outdated = documentation.outdated().expect("pages that can be read");
    assert_eq!(outdated, BTreeSet::new(), "run `cargo docs`");
}

#[test]
fn every_message_of_the_troubleshooting_guide_is_one_of_the_provider() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = fs::read_to_string(root.join("templates/guides/troubleshooting.md")).expect("the guide");
    let sources = sources(&root.join("provider/src"));
    let messages: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert!(!messages.is_empty());
    for message in messages {
        for words in message.split('…').map(str::trim).filter(|words| !words.is_empty()) {
            assert!(sources.contains(words), "no message says {words:?}: {message}");
        }
    }
}

/// All code below a directory, without comments. The tests are part of it: a message that is put together of parts
/// stands only there as a whole.
fn sources(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).expect("a directory that can be read") {
        let path = entry.expect("a directory that can be read").path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = fs::read_to_string(&path).expect("a file of text");
            text.extend(file.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]));
        }
    }
    text
}
