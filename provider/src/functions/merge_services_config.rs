//! `merge_services_config`: a change of the CodeStream host's configuration file that leaves the rest of the file as
//! it is, byte for byte.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value as Json;
use tfplugin::provider::{Function, FunctionError, Parameter};
use tfplugin::schema::Type;
use tfplugin::value::Value;

use super::json_text::{Kind, Member, Node};
use super::{fault, text};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "existing",
        r#type: Type::String,
        description: "The text of the host's `codestream-services-config.json`: a JSON object.",
    },
    Parameter {
        name: "patch",
        r#type: Type::String,
        description: "What to change, as JSON: usually the `services_config` of a `codestream_alb`.",
    },
];

/// The function.
pub(super) struct MergeServicesConfig;

impl Function for MergeServicesConfig {
    fn name(&self) -> &'static str {
        "merge_services_config"
    }

    fn summary(&self) -> &'static str {
        "Merges changes into the text of a codestream-services-config.json"
    }

    fn description(&self) -> &'static str {
        "Answers the text of `existing` with the changes of `patch`. Objects are merged, at every depth; any other \
         value of `patch`, null included, replaces what is there; new keys are added at the end of their object, \
         indented like their neighbours. Everything else stays as it is, byte for byte: the order of keys, \
         indentation by tabs or spaces, line endings, and every key that `patch` does not name. Merging the same \
         changes once more changes nothing."
    }

    fn parameters(&self) -> &[Parameter] {
        PARAMETERS
    }

    fn result(&self) -> Type {
        Type::String
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        merged(text(arguments, 0)?, text(arguments, 1)?).map(Value::from)
    }
}

fn merged(existing: &str, patch: &str) -> Result<String, FunctionError> {
    let (root, changes) = (parsed(0, existing)?, parsed(1, patch)?);
    let mut merge = Merge { style: Style::of(existing, &root), edits: Vec::new() };
    merge.value(&root, None, &changes);
    Ok(merge.apply(existing))
}

fn parsed(argument: usize, text: &str) -> Result<Node<'_>, FunctionError> {
    let node = Node::parse(text).map_err(|error| fault(argument, format!("Is not valid JSON: {error}.")))?;
    match node.kind {
        Kind::Object(_) => Ok(node),
        _ => Err(fault(argument, "Must be a JSON object, which starts with \"{\".")),
    }
}

/// How a text is laid out. Where an indentation is optional, it is that of a line; without one, all is on one line.
struct Style<'a> {
    newline: &'static str,
    /// One level of indentation.
    unit: &'a str,
    colon: &'a str,
}

impl<'a> Style<'a> {
    /// The style of a text, as its first member shows it.
    fn of(text: &str, root: &Node<'a>) -> Self {
        let first = match &root.kind {
            Kind::Object(members) => members.first(),
            _ => None,
        };
        Self {
            newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
            unit: first.and_then(|member| indentation(member.gap)).unwrap_or("  "),
            colon: first.map(|member| member.colon).filter(|colon| !colon.contains('\n')).unwrap_or(": "),
        }
    }

    fn deeper(&self, indent: Option<&str>) -> Option<String> {
        indent.map(|indent| format!("{indent}{}", self.unit))
    }

    /// What is between a comma and the next item.
    fn space(&self, indent: Option<&str>) -> String {
        match indent {
            Some(indent) => format!("{}{indent}", self.newline),
            None if self.colon.ends_with(char::is_whitespace) => " ".to_owned(),
            None => String::new(),
        }
    }

    /// Items in brackets, one level deeper than the line that the brackets are on.
    fn enclose(&self, [open, close]: [char; 2], items: &[String], indent: Option<&str>) -> String {
        if items.is_empty() {
            return format!("{open}{close}");
        }
        let inner = self.deeper(indent);
        let separator = format!(",{}", self.space(inner.as_deref()));
        let [before, after] =
            [inner.as_deref(), indent].map(|indent| indent.map(|indent| self.space(Some(indent))).unwrap_or_default());
        format!("{open}{before}{}{after}{close}", items.join(&separator))
    }

    /// A value of the patch in the style of the text.
    fn render(&self, node: &Node<'_>, indent: Option<&str>) -> String {
        let inner = self.deeper(indent);
        match &node.kind {
            Kind::Scalar => node.text.to_owned(),
            Kind::Array(elements) => {
                let items: Vec<String> = elements.iter().map(|node| self.render(node, inner.as_deref())).collect();
                self.enclose(['[', ']'], &items, indent)
            }
            Kind::Object(members) => {
                let items: Vec<String> = members.iter().map(|member| self.member(member, inner.as_deref())).collect();
                self.enclose(['{', '}'], &items, indent)
            }
        }
    }

    fn member(&self, member: &Member<'_>, indent: Option<&str>) -> String {
        format!("{}{}{}", member.quoted, self.colon, self.render(&member.value, indent))
    }
}

/// The indentation of what comes after this white space, when it is on a line of its own.
fn indentation(gap: &str) -> Option<&str> {
    gap.rsplit_once('\n').map(|(_, indent)| indent)
}

/// The changes of a text, found one by one and made at the end.
struct Merge<'a> {
    style: Style<'a>,
    edits: Vec<(Range<usize>, String)>,
}

impl Merge<'_> {
    /// Changes a value; `indent` is that of its line.
    fn value(&mut self, value: &Node<'_>, indent: Option<&str>, change: &Node<'_>) {
        match (&value.kind, &change.kind) {
            (Kind::Object(members), Kind::Object(changes)) => self.object(value, members, indent, changes),
            _ if same(value.text, change.text) => {}
            _ => self.edits.push((value.start..value.end(), self.style.render(change, indent))),
        }
    }

    fn object(&mut self, object: &Node<'_>, members: &[Member<'_>], indent: Option<&str>, changes: &[Member<'_>]) {
        let inner = match members.last() {
            Some(last) => indentation(last.gap).map(str::to_owned),
            None => self.style.deeper(indent),
        };
        // Of members of one name, the last one counts: that is how JSON is read everywhere.
        let present: BTreeMap<&str, &Member<'_>> =
            members.iter().map(|member| (member.name.as_str(), member)).collect();
        let counts: BTreeMap<&str, usize> =
            changes.iter().enumerate().map(|(index, change)| (change.name.as_str(), index)).collect();
        let mut added = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            if counts.get(change.name.as_str()) != Some(&index) {
                continue;
            }
            match present.get(change.name.as_str()) {
                Some(member) => self.value(&member.value, inner.as_deref(), &change.value),
                None => added.push(self.style.member(change, inner.as_deref())),
            }
        }
        if added.is_empty() {
            return;
        }
        let edit = match members.last() {
            Some(last) => {
                let space = self.style.space(inner.as_deref());
                let text = added.iter().map(|member| format!(",{space}{member}")).collect();
                (last.value.end()..last.value.end(), text)
            }
            None => (object.start..object.end(), self.style.enclose(['{', '}'], &added, indent)),
        };
        self.edits.push(edit);
    }

    fn apply(mut self, text: &str) -> String {
        self.edits.sort_by_key(|(range, _)| range.start);
        let (mut merged, mut at) = (String::with_capacity(text.len()), 0);
        for (range, replacement) in self.edits {
            merged.push_str(text.get(at..range.start).unwrap_or_default());
            merged.push_str(&replacement);
            at = range.end;
        }
        merged.push_str(text.get(at..).unwrap_or_default());
        merged
    }
}

/// Whether two texts are the same JSON.
fn same(one: &str, other: &str) -> bool {
    let json = |text| serde_json::from_str::<Json>(text).ok();
    one == other || json(one).is_some_and(|one| Some(one) == json(other))
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::ser::{PrettyFormatter, Serializer};

    use super::*;

    const HOST: &str = "{\n\
        \t\"apiServer\": {\n\
        \t\t\"port\": 80,\n\
        \t\t\"ignoreHttps\" : true\n\
        \t},\n\n\
        \t\"ssl\": {},\n\
        \t\"brokers\": [ 1,2 ],\n\
        \t\"secret\": \"a\\u002fb\"\n\
        }\n";

    fn merge(existing: &str, patch: &str) -> String {
        merged(existing, patch).unwrap()
    }

    #[test]
    fn values_change_in_place_and_new_keys_go_to_the_end_of_their_object() {
        let patch = r#"{"apiServer":{"publicApiUrl":"https://a","port":443},"ssl":{"certfile":"/c","keys":["/k"]}}"#;
        assert_eq!(
            merge(HOST, patch),
            "{\n\
            \t\"apiServer\": {\n\
            \t\t\"port\": 443,\n\
            \t\t\"ignoreHttps\" : true,\n\
            \t\t\"publicApiUrl\": \"https://a\"\n\
            \t},\n\n\
            \t\"ssl\": {\n\
            \t\t\"certfile\": \"/c\",\n\
            \t\t\"keys\": [\n\
            \t\t\t\"/k\"\n\
            \t\t]\n\
            \t},\n\
            \t\"brokers\": [ 1,2 ],\n\
            \t\"secret\": \"a\\u002fb\"\n\
            }\n"
        );
    }

    #[test]
    fn a_value_that_says_the_same_keeps_its_spelling() {
        assert_eq!(merge(HOST, r#"{"secret": "a/b", "brokers": [1, 2], "ssl": {}}"#), HOST);
    }

    #[test]
    fn arrays_and_scalars_replace_and_null_is_a_value() {
        assert_eq!(
            merge(r#"{"a": [1, 2], "b": {"c": 1}, "d": 1}"#, r#"{"a": [3], "b": null, "d": {}}"#),
            r#"{"a": [3], "b": null, "d": {}}"#
        );
    }

    #[test]
    fn a_text_of_one_line_stays_one() {
        assert_eq!(merge(r#"{"a":1}"#, r#"{"b": {"c": [1, 2]}}"#), r#"{"a":1,"b":{"c":[1,2]}}"#);
        assert_eq!(merge("{}", r#"{"a":1,"b":2}"#), r#"{"a": 1, "b": 2}"#);
    }

    #[test]
    fn of_two_members_of_one_name_the_last_one_counts() {
        assert_eq!(merge(r#"{"a":1,"a":2}"#, r#"{"a":3,"a":4}"#), r#"{"a":1,"a":4}"#);
    }

    #[test]
    fn a_fault_names_the_argument_and_the_place() {
        for (existing, patch, argument, part) in [
            ("{\n\t\"a\": 1,\n}", "{}", 0, "line 3 column 1"),
            ("{}", "{\"a\": tru}", 1, "line 1 column"),
            ("[1]", "{}", 0, "JSON object"),
            ("{}", "null", 1, "JSON object"),
        ] {
            let error = merged(existing, patch).unwrap_err();
            assert_eq!(error.argument, Some(argument), "{error}");
            assert!(error.message.contains(part), "{error}");
        }
    }

    /// The keys are few, so that those of two objects meet.
    fn object(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
        btree_map("[a-c\"é]", value, 0..4).prop_map(|entries| Json::Object(entries.into_iter().collect()))
    }

    fn json() -> impl Strategy<Value = Json> {
        let scalar = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            (-1e300..1e300).prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        scalar.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![vec(inner.clone(), 0..4).prop_map(Json::Array), object(inner)]
        })
    }

    fn written(json: &Json, indent: &str) -> String {
        let mut bytes = Vec::new();
        json.serialize(&mut Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(indent.as_bytes())))
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Objects in the layouts that files have.
    fn file() -> impl Strategy<Value = String> {
        (object(json()), 0..5).prop_map(|(json, layout)| match layout {
            0 => json.to_string(),
            1 => written(&json, "  "),
            2 => format!("{}\n", written(&json, "\t")),
            3 => written(&json, "\t").replace('\n', "\r\n"),
            _ => written(&json, "").replace('\n', " "),
        })
    }

    fn deep_merge(existing: &mut Json, patch: &Json) {
        let (Json::Object(entries), Json::Object(changes)) = (&mut *existing, patch) else {
            *existing = patch.clone();
            return;
        };
        for (key, change) in changes {
            deep_merge(entries.entry(key.clone()).or_insert(Json::Null), change);
        }
    }

    proptest! {
        #[test]
        fn merging_nothing_changes_no_byte(existing in file()) {
            prop_assert_eq!(merge(&existing, "{}"), existing);
        }

        #[test]
        fn merging_a_text_into_itself_changes_no_byte(existing in file()) {
            prop_assert_eq!(merge(&existing, &existing), existing);
        }

        #[test]
        fn the_result_says_what_a_deep_merge_of_the_values_says(existing in file(), patch in file()) {
            let mut expected: Json = serde_json::from_str(&existing).unwrap();
            deep_merge(&mut expected, &serde_json::from_str(&patch).unwrap());
            prop_assert_eq!(serde_json::from_str::<Json>(&merge(&existing, &patch)).unwrap(), expected);
        }

        #[test]
        fn merging_again_changes_no_byte(existing in file(), patch in file()) {
            let once = merge(&existing, &patch);
            prop_assert_eq!(merge(&once, &patch), once);
        }

        #[test]
        fn any_text_is_merged_or_refused(existing in any::<String>(), patch in "[\\[\\]{}\",:\\\\ \n0-9a-f.-]{0,40}") {
            for (existing, patch) in [(&existing, &patch), (&patch, &existing)] {
                if let Ok(merged) = merged(existing, patch) {
                    prop_assert!(serde_json::from_str::<Json>(&merged).is_ok());
                }
            }
        }

        /// Texts near a valid one get further than random ones.
        #[test]
        fn a_broken_text_is_merged_or_refused(
            text in file(),
            position in any::<prop::sample::Index>(),
            put in any::<char>(),
        ) {
            let mut broken: Vec<char> = text.chars().collect();
            let position = position.index(broken.len());
            broken[position] = put;
            let broken: String = broken.into_iter().collect();
            for (existing, patch) in [(&broken, &text), (&text, &broken)] {
                if let Ok(merged) = merged(existing, patch) {
                    prop_assert!(serde_json::from_str::<Json>(&merged).is_ok());
                }
            }
        }
    }
}
