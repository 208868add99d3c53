//! Schemas, as the CLI tells them in JSON, in Markdown.

use serde_json::Value;

use super::text;

/// The attributes of a provider, resource or data source.
pub(super) fn schema(block: &Value) -> String {
    let mut parts = vec!["## Schema".to_owned()];
    add_attributes(block, "", &mut parts);
    parts.join("\n\n")
}

/// The signature and the parameters of a function.
pub(super) fn function(name: &str, function: &Value) -> String {
    let parameters: Vec<&Value> = function["parameters"].as_array().into_iter().flatten().collect();
    let signature: Vec<String> = parameters
        .iter()
        .map(|parameter| format!("{} {}", text(parameter, "name"), type_name(&parameter["type"]).to_lowercase()))
        .collect();
    let result = type_name(&function["return_type"]).to_lowercase();
    let arguments: Vec<String> = parameters
        .iter()
        .enumerate()
        .map(|(index, parameter)| {
            let kind = type_name(&parameter["type"]);
            format!("{}. `{}` ({kind}) {}", index + 1, text(parameter, "name"), text(parameter, "description"))
        })
        .collect();
    format!(
        "## Signature\n\n```text\n{name}({}) {result}\n```\n\n## Arguments\n\n{}",
        signature.join(", "),
        arguments.join("\n")
    )
}

/// The attributes of a block or nested object by who gives them, and after them those nested in them. `path` is where
/// they are, with a dot at its end.
fn add_attributes(object: &Value, path: &str, parts: &mut Vec<String>) {
    let attributes = || object["attributes"].as_object().into_iter().flatten();
    for title in ["Required", "Optional", "Read-Only"] {
        let lines: Vec<String> = attributes()
            .filter(|(_, attribute)| given_by(attribute) == title)
            .map(|(name, attribute)| line(name, attribute, path))
            .collect();
        if !lines.is_empty() {
            parts.push(if path.is_empty() { format!("### {title}") } else { format!("{title}:") });
            parts.push(lines.join("\n"));
        }
    }
    for (name, attribute) in attributes().filter(|(_, attribute)| attribute["nested_type"].is_object()) {
        let path = format!("{path}{name}");
        parts.push(format!("<a id=\"{}\"></a>\n### Nested Schema for `{path}`", anchor(&path)));
        add_attributes(&attribute["nested_type"], &format!("{path}."), parts);
    }
}

fn given_by(attribute: &Value) -> &'static str {
    if attribute["required"] == true {
        "Required"
    } else if attribute["optional"] == true {
        "Optional"
    } else {
        "Read-Only"
    }
}

fn line(name: &str, attribute: &Value, path: &str) -> String {
    let nested = &attribute["nested_type"];
    let mut kind = match nested["nesting_mode"].as_str() {
        None => type_name(&attribute["type"]),
        Some("single") => "Attributes".to_owned(),
        Some("list") => "Attributes List".to_owned(),
        Some("set") => "Attributes Set".to_owned(),
        Some(_) => "Attributes Map".to_owned(),
    };
    if attribute["sensitive"] == true {
        kind.push_str(", Sensitive");
    }
    let below = if nested.is_object() {
        format!(" (see [below for nested schema](#{}))", anchor(&format!("{path}{name}")))
    } else {
        String::new()
    };
    format!("- `{name}` ({kind}) {}{below}", text(attribute, "description"))
}

fn anchor(path: &str) -> String {
    format!("nestedatt--{}", path.replace('.', "--"))
}

/// A type, as the registries write it.
fn type_name(r#type: &Value) -> String {
    let name = |word: &str| match word {
        "string" => "String",
        "number" => "Number",
        "bool" => "Boolean",
        "list" => "List",
        "set" => "Set",
        "map" => "Map",
        "object" => "Object",
        "tuple" => "Tuple",
        _ => "Dynamic",
    };
    let outer = r#type.as_str().or_else(|| r#type[0].as_str()).unwrap_or_default();
    match outer {
        "list" | "set" | "map" => format!("{} of {}", name(outer), type_name(&r#type[1])),
        _ => name(outer).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_are_listed_by_who_gives_them_and_nested_ones_after_them() {
        let block = json!({ "attributes": {
            "id": { "type": "string", "computed": true, "description": "Its id." },
            "name": { "type": "string", "required": true, "description": "Its name." },
            "ports": { "type": ["set", ["list", "number"]], "optional": true, "computed": true, "description": "Ports." },
            "user": { "optional": true, "description": "Who.", "nested_type": {
                "nesting_mode": "list",
                "attributes": { "key": { "type": "string", "optional": true, "sensitive": true, "description": "A key." } },
            } },
        } });
        let expected = "## Schema\n\n### Required\n\n- `name` (String) Its name.\n\n### Optional\n\n\
                        - `ports` (Set of List of Number) Ports.\n\
                        - `user` (Attributes List) Who. (see [below for nested schema](#nestedatt--user))\n\n\
                        ### Read-Only\n\n- `id` (String) Its id.\n\n<a id=\"nestedatt--user\"></a>\n\
                        ### Nested Schema for `user`\n\nOptional:\n\n- `key` (String, Sensitive) A key.";
        assert_eq!(schema(&block), expected);
    }

    #[test]
    fn a_function_has_a_signature_and_its_arguments_in_order() {
        let merge = json!({ "return_type": "string", "parameters": [
            { "name": "left", "type": "dynamic", "description": "One." },
            { "name": "right", "type": ["map", "string"], "description": "Other." },
        ] });
        let expected = "## Signature\n\n```text\nmerge(left dynamic, right map of string) string\n```\n\n## Arguments\n\n\
                        1. `left` (Dynamic) One.\n2. `right` (Map of String) Other.";
        assert_eq!(function("merge", &merge), expected);
    }
}
