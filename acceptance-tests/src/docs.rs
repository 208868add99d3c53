//! The documentation in `docs/`, laid out as the registries want it: made of the provider's schemas, of `examples/`, and
//! of `templates/`.
//!
//! The page of a resource, data source or function is its schema and the examples in its directory, with a text from
//! `templates/` in between if there is one of its name. A guide is a template. In a template, a line
//! `{{ file "examples/a/main.tf" }}` is that file.

mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::local_aws::Account;
use crate::terraform::Workspace;
use crate::tools::{self, Cli, Failure, Result};

const CONFIGURATION: &str =
    "terraform {\n  required_providers {\n    codestream = { source = \"codestream/codestream\" }\n  }\n}\n";

/// Every page, as it should be.
pub struct Documentation {
    /// By path from the root of the repository.
    pages: BTreeMap<String, String>,
}

impl Documentation {
    /// The pages that the provider's schemas, the templates and the examples make.
    ///
    /// # Errors
    ///
    /// When the schemas cannot be had, a template names a file that is not there, a link leads nowhere, or an example
    /// is on no page.
    pub fn new() -> Result<Self> {
        let mut site = Site::default();
        site.add_reference(&schemas()?)?;
        site.add_guides()?;
        site.finish()
    }

    /// The files in `docs/` that are not as they should be, missing and superfluous ones included.
    ///
    /// # Errors
    ///
    /// When `docs/` cannot be read.
    pub fn outdated(&self) -> Result<BTreeSet<String>> {
        let mut outdated: BTreeSet<String> = files("docs")?.into_iter().collect();
        for (path, text) in &self.pages {
            if outdated.contains(path) && read(path)? == *text {
                outdated.remove(path);
            } else {
                outdated.insert(path.clone());
            }
        }
        Ok(outdated)
    }

    /// Writes the pages, and removes what is no page.
    ///
    /// # Errors
    ///
    /// When `docs/` cannot be written.
    pub fn write(&self) -> Result<()> {
        for path in self.outdated()? {
            let file = tools::workspace_root().join(&path);
            let done = match self.pages.get(&path) {
                None => fs::remove_file(&file),
                Some(text) => {
                    fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).and_then(|()| fs::write(&file, text))
                }
            };
            done.map_err(Failure::during(&format!("writing {path}")))?;
        }
        Ok(())
    }
}

/// What the provider says of itself to the CLI.
fn schemas() -> Result<Value> {
    let (cli, account) = (Cli::all()?.swap_remove(0), Account::new()?);
    let workspace = Workspace::new(&cli, &account)?;
    workspace.write("main.tf", CONFIGURATION);
    let output = workspace.run(["providers", "schema", "-json"]);
    if output.code != Some(0) {
        return Err(Failure::new(format!("{} failed:\n{}", output.command, output.stderr)));
    }
    let all: Value = serde_json::from_str(&output.stdout).map_err(Failure::during("reading the schemas"))?;
    let schemas = all["provider_schemas"].as_object().and_then(|providers| providers.values().next().cloned());
    schemas
        .filter(|schemas| schemas["functions"].is_object())
        .ok_or_else(|| Failure::new(format!("{} tells no functions; Terraform 1.8 or newer does", output.command)))
}

/// The pages so far, and the files that are shown on them.
#[derive(Default)]
struct Site {
    pages: BTreeMap<String, String>,
    shown: BTreeSet<String>,
}

/// A page of the reference.
struct Page<'a> {
    /// Its path below `docs/` and `templates/`.
    path: String,
    title: String,
    heading: String,
    summary: &'a str,
    description: &'a str,
    /// The directory of its examples.
    examples: String,
    /// Its schema, in Markdown.
    reference: String,
}

impl Site {
    fn add_reference(&mut self, schemas: &Value) -> Result<()> {
        let provider = &schemas["provider"]["block"];
        let description = text(provider, "description");
        self.add(Page {
            path: "index.md".to_owned(),
            title: "Provider: codestream".to_owned(),
            heading: "codestream Provider".to_owned(),
            summary: description,
            description,
            examples: "examples/provider".to_owned(),
            reference: reference::schema(provider),
        })?;
        for (key, directory, kind) in
            [("resource_schemas", "resources", "Resource"), ("data_source_schemas", "data-sources", "Data Source")]
        {
            for (name, schema) in schemas[key].as_object().into_iter().flatten() {
                let description = text(&schema["block"], "description");
                self.add(Page {
                    path: format!("{directory}/{}.md", name.strip_prefix("codestream_").unwrap_or(name)),
                    title: format!("{name} {kind} - codestream"),
                    heading: format!("{name} ({kind})"),
                    summary: description,
                    description,
                    examples: format!("examples/{directory}/{name}"),
                    reference: reference::schema(&schema["block"]),
                })?;
            }
        }
        for (name, function) in schemas["functions"].as_object().into_iter().flatten() {
            self.add(Page {
                path: format!("functions/{name}.md"),
                title: format!("{name} function - codestream"),
                heading: format!("function: {name}"),
                summary: text(function, "summary"),
                description: text(function, "description"),
                examples: format!("examples/functions/{name}"),
                reference: reference::function(name, function),
            })?;
        }
        Ok(())
    }

    fn add(&mut self, page: Page<'_>) -> Result<()> {
        let Page { path, title, heading, summary, description, examples, reference } = page;
        let mut parts = vec![
            format!(
                "---\n# Made by `cargo docs` from the schema, examples/ and templates/.\npage_title: \"{title}\"\n\
                 subcategory: \"\"\ndescription: |-\n  {summary}\n---"
            ),
            format!("# {heading}"),
            description.to_owned(),
        ];
        let template = format!("templates/{path}");
        if tools::workspace_root().join(&template).is_file() {
            parts.push(self.filled(&template)?);
        }
        let (commands, mut configurations): (Vec<String>, Vec<String>) =
            files(&examples)?.into_iter().partition(|file| file.ends_with(".sh"));
        // The plain one comes before its variants.
        configurations.sort_by_key(|file| !["resource.tf", "data-source.tf"].iter().any(|plain| file.ends_with(plain)));
        self.add_examples("## Example Usage", &configurations, &mut parts)?;
        parts.push(reference);
        self.add_examples("## Import", &commands, &mut parts)?;
        self.pages.insert(format!("docs/{path}"), parts.join("\n\n") + "\n");
        Ok(())
    }

    fn add_examples(&mut self, heading: &str, files: &[String], parts: &mut Vec<String>) -> Result<()> {
        parts.extend((!files.is_empty()).then(|| heading.to_owned()));
        for file in files {
            parts.push(self.show(file)?);
        }
        Ok(())
    }

    fn add_guides(&mut self) -> Result<()> {
        for template in files("templates/guides")? {
            let text = self.filled(&template)? + "\n";
            self.pages.insert(template.replacen("templates", "docs", 1), text);
        }
        Ok(())
    }

    /// A template with the files that it names.
    fn filled(&mut self, template: &str) -> Result<String> {
        let mut filled = Vec::new();
        for line in read(template)?.trim_end().lines() {
            if !line.starts_with("{{") {
                filled.push(line.to_owned());
                continue;
            }
            let file = line.strip_prefix("{{ file \"").and_then(|rest| rest.strip_suffix("\" }}"));
            let file = file.ok_or_else(|| Failure::new(format!("{template}: what is {line}?")))?;
            filled.push(self.show(file)?);
        }
        Ok(filled.join("\n"))
    }

    /// A file as a block of code; one in Markdown as it is, without its title.
    fn show(&mut self, path: &str) -> Result<String> {
        let text = read(path)?;
        self.shown.insert(path.to_owned());
        let text = text.trim_end();
        let language = match path.rsplit('.').next().unwrap_or_default() {
            "md" => return Ok(text.split_once('\n').map_or("", |(_, rest)| rest.trim_start()).to_owned()),
            "tf" | "hcl" => "terraform",
            "sh" => "shell",
            other => other,
        };
        Ok(format!("```{language}\n{text}\n```"))
    }

    fn finish(self) -> Result<Documentation> {
        let unseen: Vec<String> = files("examples")?.into_iter().filter(|file| !self.shown.contains(file)).collect();
        if !unseen.is_empty() {
            return Err(Failure::new(format!("these examples are on no page of the documentation: {unseen:?}")));
        }
        for (path, text) in &self.pages {
            let broken = links(path, text).into_iter().find(|target| !self.pages.contains_key(target));
            if let Some(target) = broken {
                return Err(Failure::new(format!("{path} has a link to {target}, which is no page")));
            }
        }
        Ok(Documentation { pages: self.pages })
    }
}

/// The pages that the relative links of a page lead to.
fn links(path: &str, text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let relative = targets.filter(|target| target.ends_with(".md") && !target.contains("://"));
    relative
        .map(|target| {
            let mut steps: Vec<&str> = path.split('/').collect();
            steps.pop();
            for step in target.split('/') {
                match step {
                    "." => {}
                    ".." => {
                        steps.pop();
                    }
                    name => steps.push(name),
                }
            }
            steps.join("/")
        })
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A file of this repository.
fn read(path: &str) -> Result<String> {
    fs::read_to_string(tools::workspace_root().join(path)).map_err(Failure::during(&format!("reading {path}")))
}

/// The files in a directory of this repository and below, in order; none when there is no such directory. What
/// Terraform leaves behind is left out.
fn files(directory: &str) -> Result<Vec<String>> {
    fn collect(directory: &str, found: &mut Vec<String>) -> std::io::Result<()> {
        for entry in fs::read_dir(tools::workspace_root().join(directory))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{directory}/{name}");
            let left_behind = name.starts_with('.') || name.contains(".tfstate");
            if entry.file_type()?.is_dir() && !left_behind {
                collect(&path, found)?;
            } else if !left_behind {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    if tools::workspace_root().join(directory).is_dir() {
        collect(directory, &mut found).map_err(Failure::during(&format!("reading {directory}")))?;
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_from_the_page_that_has_them() {
        let text = "[a](../resources/alb.md#schema), [b](./other.md) and [c](https://example.com/x.md), [d](#here).";
        assert_eq!(links("docs/guides/https.md", text), ["docs/resources/alb.md", "docs/guides/other.md"]);
    }
}
