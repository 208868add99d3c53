//! The results as a table in Markdown, and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use crate::dialect::Dialect;
use crate::figures::{Case, Cost, Results};
use crate::options::Options;

/// What is known of the machine and of the binaries by themselves.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    /// How many processors this machine has.
    pub(crate) processors: usize,
    /// What ran the configurations, and its version.
    pub(crate) cli: String,
    /// The file of the peer, which has its version in its name, when it is there.
    pub(crate) peer: Option<String>,
    /// The median time from the start of our process until core has the schema.
    pub(crate) seconds_to_schema: f64,
    /// The size of our binary.
    pub(crate) binary_bytes: u64,
    /// The size of the peer's, when it is there.
    pub(crate) peer_binary_bytes: Option<u64>,
}

/// A column with a figure of both dialects.
struct Column {
    title: &'static str,
    figure: fn(&Cost) -> f64,
    decimals: usize,
}

const MEGABYTE: f64 = 1e6;

const COLUMNS: [Column; 8] = [
    Column { title: "wall s", figure: |cost| cost.wall_seconds, decimals: 2 },
    Column { title: "provider's processor s", figure: |cost| cost.provider_seconds, decimals: 3 },
    Column { title: "with Terraform's s", figure: |cost| cost.total_seconds, decimals: 2 },
    Column { title: "the local AWS's s", figure: |cost| cost.aws_seconds, decimals: 2 },
    Column { title: "peak memory MB", figure: |cost| cost.memory_bytes / MEGABYTE, decimals: 1 },
    Column { title: "calls", figure: |cost| cost.calls, decimals: 0 },
    Column { title: "of these, looks", figure: |cost| cost.looks, decimals: 0 },
    Column { title: "longest chain", figure: |cost| cost.chain, decimals: 0 },
];

/// Everything, to be read.
pub(crate) fn markdown(options: &Options, facts: &Facts, results: &Results) -> String {
    let mut text = format!(
        "# This provider and the AWS provider\n\n\
         {protocol} listeners, {provisioning} s of provisioning, {cli}, {peer}, {processors} processors that are \
         shared with Terraform, the proxy and the local AWS.\n\n\
         A cell is ours / theirs (ours divided by theirs), each the median of the runs that the third column counts. \
         Processor time and memory are those of the provider's processes. The local AWS answers one call at a time: \
         those that are made at once wait there for one another, as they do not at AWS. Looks are descriptions of \
         load balancers while one was being provisioned. The longest chain is the most calls of which each began \
         after the one before had ended, looks aside. Only at one stack and with a delay are these the calls that needed one \
         another: with more stacks they are calls of any of them, and without a delay quick calls follow each other \
         by chance. The limit is the longest chain that AWS's rules force, times the time that was added to each \
         call, and in an apply the provisioning, for ten stacks at a time, as Terraform goes about them. Ours also \
         waits until the targets are healthy; here they are at the first look.\n",
        protocol = if options.https { "HTTPS" } else { "HTTP" },
        provisioning = options.provisioning.as_secs(),
        cli = facts.cli,
        peer = facts.peer.as_deref().unwrap_or("without the AWS provider"),
        processors = facts.processors,
    );
    let delays: BTreeSet<_> = results.cases().map(|case| case.delay).collect();
    for delay in delays {
        let titles = COLUMNS.map(|column| column.title).join(" | ");
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n## {} ms added to each call\n\n\
             | stacks | operation | runs | limit s | {titles} |\n|---:|---|---:|---:|{}\n",
            delay.as_millis(),
            "---:|".repeat(COLUMNS.len())
        );
        for case in results.cases().filter(|case| case.delay == delay) {
            text += &row(options, results, case);
        }
    }
    text += &by_themselves(facts);
    if !results.failures.is_empty() {
        text += "\n## What failed\n\n";
        for failure in &results.failures {
            let _ = writeln!(text, "```text\n{failure}\n```");
        }
    }
    text
}

fn row(options: &Options, results: &Results, case: Case) -> String {
    let [ours, theirs] = Dialect::BOTH.map(|dialect| results.median(case, dialect));
    let limit = case.operation.limit(case.stacks, case.delay, options.provisioning).as_secs_f64();
    let cells: Vec<String> = COLUMNS
        .iter()
        .map(|column| cell(ours.as_ref().map(column.figure), theirs.as_ref().map(column.figure), column.decimals))
        .collect();
    let runs = match Dialect::BOTH.map(|dialect| results.runs(case, dialect).len()) {
        [ours, 0] => ours.to_string(),
        [ours, theirs] => format!("{ours} / {theirs}"),
    };
    format!("| {} | {} | {runs} | {limit:.2} | {} |\n", case.stacks, case.operation.name(), cells.join(" | "))
}

/// `ours / theirs (ratio)`, or what there is of it.
fn cell(ours: Option<f64>, theirs: Option<f64>, decimals: usize) -> String {
    let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"));
    match (ours, theirs) {
        (_, None) => show(ours),
        (Some(mine), Some(other)) if other > 0.0 => format!("{} / {} ({:.3})", show(ours), show(theirs), mine / other),
        _ => format!("{} / {}", show(ours), show(theirs)),
    }
}

fn by_themselves(facts: &Facts) -> String {
    let megabytes = |bytes: u64| bytes as f64 / MEGABYTE;
    format!(
        "\n## The binaries\n\n| | ours / theirs |\n|---|---:|\n| from the start to the schema, ms | {:.1} |\n\
         | size, MB | {} |\n",
        facts.seconds_to_schema * 1e3,
        cell(Some(megabytes(facts.binary_bytes)), facts.peer_binary_bytes.map(megabytes), 1),
    )
}

/// Everything, with each single run.
pub(crate) fn json(options: &Options, facts: &Facts, results: &Results) -> String {
    let measured = |case: Case, dialect: Dialect| json!({ "median": results.median(case, dialect), "runs": results.runs(case, dialect) });
    let cases: Vec<Value> = results
        .cases()
        .map(|case| {
            json!({
                "delay_ms": case.delay.as_secs_f64() * 1e3,
                "stacks": case.stacks,
                "operation": case.operation,
                "forced_calls": case.operation.forced_calls(),
                "limit_seconds":
                    case.operation.limit(case.stacks, case.delay, options.provisioning).as_secs_f64(),
                "ours": measured(case, Dialect::Ours),
                "theirs": measured(case, Dialect::Peer),
            })
        })
        .collect();
    let all = json!({
        "facts": facts,
        "https": options.https,
        "provisioning_seconds": options.provisioning.as_secs(),
        "cases": cases,
        "failures": results.failures,
    });
    format!("{all:#}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::operation::Operation;

    fn facts() -> Facts {
        Facts {
            processors: 2,
            cli: "Terraform v1.2.3".to_owned(),
            peer: Some("terraform-provider-aws_v5.6.7_x5".to_owned()),
            seconds_to_schema: 0.0123,
            binary_bytes: 20_000_000,
            peer_binary_bytes: None,
        }
    }

    fn results() -> Results {
        let mut results = Results::default();
        let case = Case { delay: Duration::from_millis(80), stacks: 10, operation: Operation::NoOpPlan };
        let ours = Cost { wall_seconds: 0.5, provider_seconds: 0.02, memory_bytes: 2e7, ..Cost::default() };
        let theirs = Cost { wall_seconds: 10.0, provider_seconds: 2.0, memory_bytes: 6.4e8, ..Cost::default() };
        results.add(case, Dialect::Ours, Cost { calls: 60.0, looks: 1.0, chain: 4.0, ..ours });
        results.add(case, Dialect::Ours, Cost { calls: 60.0, looks: 1.0, chain: 4.0, ..ours });
        results.add(case, Dialect::Peer, Cost { calls: 190.0, looks: 2.0, chain: 40.0, ..theirs });
        results
    }

    #[test]
    fn a_row_has_the_limit_and_each_figure_of_both_with_their_ratio() {
        let text = markdown(&Options::default(), &facts(), &results());
        let row = "| 10 | no-op plan | 2 / 1 | 0.08 | 0.50 / 10.00 (0.050) | 0.020 / 2.000 (0.010) | 0.00 / 0.00 | \
                   0.00 / 0.00 | 20.0 / 640.0 (0.031) | 60 / 190 (0.316) | 1 / 2 (0.500) | 4 / 40 (0.100) |";
        assert!(text.lines().any(|line| line == row), "{text}");
        assert!(
            text.contains("HTTP listeners, 20 s of provisioning, Terraform v1.2.3, terraform-provider-aws_v5.6.7_x5, ")
        );
        assert!(text.contains("## 80 ms added to each call"), "{text}");
        assert!(text.contains("| from the start to the schema, ms | 12.3 |"), "{text}");
    }

    #[test]
    fn every_line_of_a_table_has_as_many_cells_as_its_head() {
        let text = markdown(&Options::default(), &facts(), &results());
        let widths = |line: &&str| line.starts_with("| ") || line.starts_with("|-");
        let table: Vec<usize> = text.lines().filter(widths).map(|line| line.matches('|').count()).collect();
        assert_eq!(table, [13, 13, 13, 3, 3, 3, 3]);
    }

    #[test]
    fn what_was_not_measured_has_no_ratio() {
        assert_eq!(cell(Some(1.0), None, 1), "1.0");
        assert_eq!(cell(None, Some(2.0), 0), "- / 2");
        assert_eq!(cell(Some(0.0), Some(0.0), 0), "0 / 0");
    }

    #[test]
    fn the_json_has_the_medians_the_runs_and_the_failures() {
        let mut results = results();
        results.failures.push("it broke".to_owned());
        let read: Value = serde_json::from_str(&json(&Options::default(), &facts(), &results)).unwrap();
        let case = &read["cases"][0];
        assert_eq!((&case["operation"], &case["stacks"]), (&json!("no_op_plan"), &json!(10)));
        assert_eq!(case["theirs"]["median"]["calls"], 190.0);
        assert_eq!(case["ours"]["runs"].as_array().map(Vec::len), Some(2));
        assert_eq!(read["failures"], json!(["it broke"]));
    }
}
