//! Attribute paths: which argument a diagnostic or a replacement is about.

use std::fmt;

/// One step from a value to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathStep {
    /// An attribute of an object.
    Attribute(String),
    /// An element of a map.
    Key(String),
    /// An element of a list. Elements of a set have no path: name the set itself.
    Index(i64),
}

/// The way from a resource, data source or provider block to one of its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<PathStep>);

impl Path {
    /// The path of the whole block.
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of a top-level attribute.
    pub fn of(name: &str) -> Self {
        Self::root().attribute(name)
    }

    /// This path, one attribute deeper.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Self {
        self.step(PathStep::Attribute(name.to_owned()))
    }

    /// This path, one map element deeper.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.step(PathStep::Key(key.to_owned()))
    }

    /// This path, one list element deeper.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(PathStep::Index(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    /// The steps, outermost first.
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }

    /// Whether this is the whole block.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    fn step(&self, step: PathStep) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

/// Written as in the Terraform language: `api.health_check.path`, `tags["team"]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Attribute(name) if position == 0 => write!(f, "{name}")?,
                PathStep::Attribute(name) => write!(f, ".{name}")?,
                PathStep::Key(key) => write!(f, "[{key:?}]")?,
                PathStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_it_is_written_in_a_configuration() {
        let path = Path::of("api").attribute("targets").index(2).attribute("tags").key("team");
        assert_eq!(path.to_string(), r#"api.targets[2].tags["team"]"#);
    }
}
