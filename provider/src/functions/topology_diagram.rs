//! `topology_diagram`: a picture of what a stack consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tfplugin::provider::{Function, FunctionError, Parameter};
use tfplugin::schema::Type;
use tfplugin::value::Value;

use super::{fault, untyped};

const PARAMETERS: &[Parameter] =
    &[Parameter { name: "topology", r#type: Type::Dynamic, description: "The `topology` of a `codestream_alb`." }];

/// The function.
pub(super) struct TopologyDiagram;

impl Function for TopologyDiagram {
    fn name(&self) -> &'static str {
        "topology_diagram"
    }

    fn summary(&self) -> &'static str {
        "Draws a topology as a Mermaid flowchart"
    }

    fn description(&self) -> &'static str {
        "Answers the source of a [Mermaid](https://mermaid.js.org) flowchart: who may connect, to which listeners, \
         where these lead, and the instances there. GitHub and GitLab draw it in a `mermaid` code block, so a \
         pipeline can show a plan in a pull request."
    }

    fn parameters(&self) -> &[Parameter] {
        PARAMETERS
    }

    fn result(&self) -> Type {
        Type::String
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let drawn = Topology::of(untyped(arguments, 0)).map(|topology| draw(&topology));
        drawn.map(Value::from).map_err(|wrong| fault(0, format!("Is not the topology of a codestream_alb: {wrong}.")))
    }
}

/// What is drawn of a topology.
struct Topology<'a> {
    listeners: Vec<Listener<'a>>,
    groups: Vec<Group<'a>>,
    rules: Vec<Rule<'a>>,
}

struct Listener<'a> {
    port: i64,
    protocol: &'a str,
    target: &'a str,
}

struct Group<'a> {
    role: &'a str,
    name: &'a str,
    port: i64,
    protocol: &'a str,
    instances: Vec<&'a str>,
}

struct Rule<'a> {
    direction: &'a str,
    protocol: &'a str,
    from_port: i64,
    to_port: i64,
    source: &'a str,
}

impl<'a> Topology<'a> {
    fn of(value: &'a Value) -> Result<Self, String> {
        let listeners = each(value, "listeners", |place, listener| {
            Ok(Listener {
                port: number(listener, place, "port")?,
                protocol: text(listener, place, "protocol")?,
                target: text(listener, place, "target_group")?,
            })
        })?;
        let groups = each(value, "target_groups", |place, group| {
            let instances = group.get("instance_ids").as_list().unwrap_or_default();
            let instances: Option<Vec<&str>> = instances.iter().map(Value::as_str).collect();
            Ok(Group {
                role: text(group, place, "role")?,
                name: text(group, place, "name")?,
                port: number(group, place, "port")?,
                protocol: text(group, place, "protocol")?,
                instances: instances
                    .ok_or_else(|| format!("{place} has an `instance_ids` that is no set of strings"))?,
            })
        })?;
        let rules = each(value, "security_group_rules", |place, rule| {
            Ok(Rule {
                direction: text(rule, place, "direction")?,
                protocol: text(rule, place, "protocol")?,
                from_port: number(rule, place, "from_port")?,
                to_port: number(rule, place, "to_port")?,
                source: text(rule, place, "source")?,
            })
        })?;
        Ok(Self { listeners, groups, rules })
    }
}

/// The elements of one list of a topology.
fn each<'a, T>(
    topology: &'a Value,
    list: &str,
    parse: impl Fn(&str, &'a Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let elements = topology.get(list).as_list().ok_or_else(|| format!("it has no list `{list}`"))?;
    elements.iter().enumerate().map(|(index, element)| parse(&format!("{list}[{index}]"), element)).collect()
}

fn text<'a>(object: &'a Value, place: &str, name: &str) -> Result<&'a str, String> {
    object.get(name).as_str().ok_or_else(|| format!("{place} has no string `{name}`"))
}

fn number(object: &Value, place: &str, name: &str) -> Result<i64, String> {
    object.get(name).as_i64().ok_or_else(|| format!("{place} has no whole number `{name}`"))
}

impl Rule<'_> {
    /// How it leads to a listener: by a rule, by a group whose rules are not known, or not at all.
    fn arrow_to(&self, listener: &Listener<'_>) -> Option<&'static str> {
        let lets_in = self.protocol == "-1" || (self.from_port..=self.to_port).contains(&listener.port);
        match self.direction {
            "ingress" if lets_in => Some("-->"),
            "attached" => Some("-.->"),
            _ => None,
        }
    }
}

fn draw(topology: &Topology<'_>) -> String {
    let mut chart = Chart::default();
    for listener in &topology.listeners {
        chart.listener(listener);
    }
    for group in &topology.groups {
        chart.group(group);
    }
    for listener in &topology.listeners {
        for rule in &topology.rules {
            if let Some(arrow) = rule.arrow_to(listener) {
                let (source, target) = (chart.node("source", &[rule.source]), chart.listener(listener));
                chart.edge(&source, arrow, &target);
            }
        }
    }
    for listener in &topology.listeners {
        lead_on(&mut chart, topology, listener);
    }
    for group in &topology.groups {
        for instance in &group.instances {
            let (source, target) = (chart.group(group), chart.node("instance", &[instance]));
            chart.edge(&source, "-->", &target);
        }
    }
    chart.finish()
}

/// Draws where a listener leads: to another listener, to one group, or to several by weight.
fn lead_on(chart: &mut Chart, topology: &Topology<'_>, listener: &Listener<'_>) {
    let source = chart.listener(listener);
    if let Some(port) = listener.target.strip_prefix("redirect:") {
        let target = match topology.listeners.iter().find(|other| other.port.to_string() == port) {
            Some(other) => chart.listener(other),
            None => chart.node("other", &[listener.target]),
        };
        chart.edge(&source, "-->|301|", &target);
        return;
    }
    for part in listener.target.split(", ") {
        let (name, weight) = match part.split_once(" (") {
            Some((name, weight)) => (name, weight.strip_suffix(')')),
            None => (part, None),
        };
        match (topology.groups.iter().find(|group| group.name == name), weight) {
            (Some(group), Some(weight)) => {
                let target = chart.group(group);
                chart.edge(&source, &format!("-->|{}|", label(weight)), &target);
            }
            (Some(group), None) => {
                let target = chart.group(group);
                chart.edge(&source, "-->", &target);
            }
            (None, _) => {
                let target = chart.node("other", &[part]);
                chart.edge(&source, "-->", &target);
            }
        }
    }
}

/// A flowchart in the making. Nodes are drawn in the order in which they are first asked for.
#[derive(Default)]
struct Chart {
    /// The number of each node among those of its kind, by its label.
    numbers: BTreeMap<&'static str, BTreeMap<String, usize>>,
    nodes: Vec<String>,
    edges: Vec<String>,
    drawn: BTreeSet<String>,
}

impl Chart {
    /// The id of the node of this kind with these lines in it.
    fn node(&mut self, kind: &'static str, lines: &[&str]) -> String {
        let text = lines.iter().map(|line| label(line)).collect::<Vec<_>>().join("<br/>");
        let of_kind = self.numbers.entry(kind).or_default();
        if let Some(number) = of_kind.get(&text) {
            return format!("{kind}{number}");
        }
        let id = format!("{kind}{}", of_kind.len() + 1);
        self.nodes.push(format!("{id}[\"{text}\"]"));
        of_kind.insert(text, of_kind.len() + 1);
        id
    }

    fn listener(&mut self, listener: &Listener<'_>) -> String {
        self.node("listener", &[&format!("{} {}", listener.protocol, listener.port)])
    }

    fn group(&mut self, group: &Group<'_>) -> String {
        self.node("group", &[group.role, group.name, &format!("{} {}", group.protocol, group.port)])
    }

    fn edge(&mut self, from: &str, arrow: &str, to: &str) {
        let edge = format!("{from} {arrow} {to}");
        if self.drawn.insert(edge.clone()) {
            self.edges.push(edge);
        }
    }

    fn finish(self) -> String {
        let lines = self.nodes.iter().chain(&self.edges).map(|line| format!("  {line}\n"));
        format!("flowchart LR\n{}", lines.collect::<String>())
    }
}

/// A text as a label shows it: whatever might mean something to Mermaid becomes a character code.
fn label(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | ',' | ':' | '/' | '(' | ')') {
            label.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(label, "#{};", u32::from(c));
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(port: i64, protocol: &str, target: &str) -> Value {
        Value::object([("port", port.into()), ("protocol", protocol.into()), ("target_group", target.into())])
    }

    fn group(role: &str, name: &str, port: i64, instances: &[&str]) -> Value {
        Value::object([
            ("role", role.into()),
            ("name", name.into()),
            ("port", port.into()),
            ("protocol", "HTTPS".into()),
            ("instance_ids", Value::set(instances.iter().copied())),
        ])
    }

    fn rule(direction: &str, port: i64, source: &str) -> Value {
        Value::object([
            ("direction", direction.into()),
            ("protocol", "tcp".into()),
            ("from_port", port.into()),
            ("to_port", port.into()),
            ("source", source.into()),
        ])
    }

    fn topology(listeners: Vec<Value>, groups: Vec<Value>, rules: Vec<Value>) -> Value {
        Value::object([
            ("listeners", listeners.into()),
            ("target_groups", groups.into()),
            ("security_group_rules", rules.into()),
        ])
    }

    fn diagram(topology: Value) -> String {
        let argument = Value::Dynamic(Box::new((Type::Dynamic, topology)));
        TopologyDiagram.call(&[argument]).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn everything_is_drawn_from_the_sources_to_the_instances() {
        let drawn = diagram(topology(
            vec![
                listener(80, "HTTP", "redirect:443"),
                listener(443, "HTTPS", "cs-api-1"),
                listener(12443, "HTTPS", "cs-ws-2"),
            ],
            vec![group("api", "cs-api-1", 443, &["i-1", "i-2"]), group("broadcaster", "cs-ws-2", 12443, &["i-1"])],
            vec![
                rule("ingress", 443, "198.51.100.0/24"),
                rule("ingress", 12443, "198.51.100.0/24"),
                rule("ingress", 443, "203.0.113.7/32"),
                rule("egress", 443, "vpc"),
            ],
        ));
        let expected = [
            "flowchart LR",
            "  listener1[\"HTTP 80\"]",
            "  listener2[\"HTTPS 443\"]",
            "  listener3[\"HTTPS 12443\"]",
            "  group1[\"api<br/>cs-api-1<br/>HTTPS 443\"]",
            "  group2[\"broadcaster<br/>cs-ws-2<br/>HTTPS 12443\"]",
            "  source1[\"198.51.100.0/24\"]",
            "  source2[\"203.0.113.7/32\"]",
            "  instance1[\"i-1\"]",
            "  instance2[\"i-2\"]",
            "  source1 --> listener2",
            "  source2 --> listener2",
            "  source1 --> listener3",
            "  listener1 -->|301| listener2",
            "  listener2 --> group1",
            "  listener3 --> group2",
            "  group1 --> instance1",
            "  group1 --> instance2",
            "  group2 --> instance1",
            "",
        ];
        assert_eq!(drawn, expected.join("\n"));
    }

    #[test]
    fn a_change_under_way_and_what_others_did_show_as_what_they_are() {
        let mut attached = rule("attached", -1, "sg-0a");
        attached.put("protocol", "-1");
        let drawn = diagram(topology(
            vec![listener(443, "HTTPS", "old (100), new (0)"), listener(8080, "HTTP", "fixed-response")],
            vec![group("api", "new", 443, &[]), group("api", "old", 80, &[])],
            vec![attached],
        ));
        for line in [
            "listener1 -->|100| group2",
            "listener1 -->|0| group1",
            "other1[\"fixed-response\"]",
            "listener2 --> other1",
            "source1 -.-> listener1",
            "source1 -.-> listener2",
        ] {
            assert!(drawn.lines().any(|drawn| drawn.trim() == line), "{line} is not in\n{drawn}");
        }
    }

    #[test]
    fn many_arrows_take_no_longer_than_there_are_arrows() {
        let listeners = (1..=200).map(|port| listener(port, "HTTP", "elsewhere")).collect();
        let mut anything = rule("ingress", 0, "");
        anything.put("protocol", "-1");
        let rules = (0..200).map(|n| {
            let mut rule = anything.clone();
            rule.put("source", format!("10.0.{n}.0/24"));
            rule
        });
        let drawn = diagram(topology(listeners, vec![], rules.collect()));
        assert_eq!(drawn.matches(" --> listener").count(), 200 * 200);
    }

    #[test]
    fn no_text_gets_out_of_its_label() {
        let drawn = diagram(topology(vec![listener(443, "\"]; click x <b> %%{init}%%\n`#", "é")], vec![], vec![]));
        assert_eq!(
            drawn.lines().nth(1),
            Some("  listener1[\"#34;#93;#59; click x #60;b#62; #37;#37;#123;init#125;#37;#37;#10;#96;#35; 443\"]")
        );
        assert!(drawn.contains("other1[\"é\"]"));
    }

    #[test]
    fn a_value_of_another_shape_is_refused_with_what_it_lacks() {
        let no_port = Value::object([("protocol", Value::from("HTTP"))]);
        let mut odd_group = group("api", "a", 80, &[]);
        odd_group.put("instance_ids", Value::List(vec![Value::Null]));
        for (value, part) in [
            (Value::from("text"), "it has no list `listeners`"),
            (topology(vec![no_port], vec![], vec![]), "listeners[0] has no whole number `port`"),
            (topology(vec![], vec![odd_group], vec![]), "target_groups[0] has an `instance_ids`"),
            (topology(vec![], vec![], vec![Value::Null]), "security_group_rules[0] has no string `direction`"),
        ] {
            let error = TopologyDiagram.call(&[value]).unwrap_err();
            assert!(error.argument == Some(0) && error.message.contains(part), "{error}");
        }
    }
}
