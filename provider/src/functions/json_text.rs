//! JSON as it is written: each value with its place in the text, so that one can be changed and every other byte
//! stays.

use serde_json::Value as Json;

/// A value.
pub(super) struct Node<'a> {
    /// Where it starts in the text, in bytes.
    pub(super) start: usize,
    /// As it is written.
    pub(super) text: &'a str,
    pub(super) kind: Kind<'a>,
}

/// What a value is made of.
pub(super) enum Kind<'a> {
    Object(Vec<Member<'a>>),
    Array(Vec<Node<'a>>),
    Scalar,
}

/// A member of an object.
pub(super) struct Member<'a> {
    /// The white space before it.
    pub(super) gap: &'a str,
    pub(super) name: String,
    /// Its name as it is written.
    pub(super) quoted: &'a str,
    /// The colon, with the white space around it.
    pub(super) colon: &'a str,
    pub(super) value: Node<'a>,
}

impl<'a> Node<'a> {
    /// Reads a text that is one JSON value.
    ///
    /// # Errors
    ///
    /// Says what is wrong, and on which line and in which column.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        // This checks everything, the depth of nesting included; the scanner then needs no errors of its own.
        serde_json::from_str::<Json>(text).map_err(|error| error.to_string())?;
        Scanner { text, at: 0 }.value().ok_or_else(|| "it cannot be read".to_owned())
    }

    /// Where it ends in the text, in bytes.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Goes through valid JSON. On any other text it may answer `None` or nonsense, but it always ends.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn since(&self, start: usize) -> Option<&'a str> {
        self.text.get(start..self.at)
    }

    fn blank(&mut self) -> Option<&'a str> {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.since(start)
    }

    fn value(&mut self) -> Option<Node<'a>> {
        self.blank()?;
        let start = self.at;
        let kind = match self.peek()? {
            b'{' => Kind::Object(self.members()?),
            b'[' => Kind::Array(self.elements()?),
            b'"' => {
                self.string()?;
                Kind::Scalar
            }
            _ => {
                while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
                {
                    self.at += 1;
                }
                Kind::Scalar
            }
        };
        Some(Node { start, text: self.since(start)?, kind })
    }

    fn members(&mut self) -> Option<Vec<Member<'a>>> {
        let mut members = Vec::new();
        loop {
            // The opening brace, or a comma.
            self.at += 1;
            let gap = self.blank()?;
            if self.peek()? == b'}' {
                break;
            }
            let quoted = self.string()?;
            let name = serde_json::from_str(quoted).ok()?;
            let start = self.at;
            self.blank()?;
            self.at += 1;
            self.blank()?;
            let colon = self.since(start)?;
            members.push(Member { gap, name, quoted, colon, value: self.value()? });
            self.blank()?;
            if self.peek()? != b',' {
                break;
            }
        }
        self.at += 1;
        Some(members)
    }

    fn elements(&mut self) -> Option<Vec<Node<'a>>> {
        let mut elements = Vec::new();
        loop {
            // The opening bracket, or a comma.
            self.at += 1;
            self.blank()?;
            if self.peek()? == b']' {
                break;
            }
            elements.push(self.value()?);
            self.blank()?;
            if self.peek()? != b',' {
                break;
            }
        }
        self.at += 1;
        Some(elements)
    }

    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.since(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_where_it_is_written() {
        let text = " {\n\t\"a\\\"b\" :  [1.5e+3, {}, \"}\\\\\"],\r\n \"é\":null } ";
        let root = Node::parse(text).unwrap();
        assert_eq!((root.start, root.end()), (1, text.len() - 1));
        let Kind::Object(members) = root.kind else { panic!("{}", root.text) };
        let written: Vec<_> =
            members.iter().map(|member| (member.gap, member.name.as_str(), member.colon, member.value.text)).collect();
        assert_eq!(written, [("\n\t", "a\"b", " :  ", "[1.5e+3, {}, \"}\\\\\"]"), ("\r\n ", "é", ":", "null")]);
        let Kind::Array(elements) = &members[0].value.kind else { panic!("{}", members[0].value.text) };
        let elements: Vec<_> = elements.iter().map(|element| element.text).collect();
        assert_eq!(elements, ["1.5e+3", "{}", "\"}\\\\\""]);
    }

    #[test]
    fn an_error_says_where_it_is() {
        let error = |text: &str| Node::parse(text).err().unwrap();
        assert!(error("{\n\t\"a\": 1,\n}").ends_with("at line 3 column 1"));
        assert!(error(&"[".repeat(100_000)).contains("recursion limit"));
    }
}
