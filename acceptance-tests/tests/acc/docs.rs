//! The documentation says what the provider says of itself.

use std::collections::BTreeSet;

use acceptance_tests::Documentation;

#[test]
fn the_documentation_is_as_cargo_docs_writes_it_with_every_example_on_a_page() {
    let documentation = Documentation::new().expect("documentation");
    let outdated = documentation.outdated().expect("pages that can be read");
    assert_eq!(outdated, BTreeSet::new(), "run `cargo docs`");
}
