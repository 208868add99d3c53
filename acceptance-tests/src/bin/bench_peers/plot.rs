//! Cost against the number of stacks, as a picture.

use std::io;

use acceptance_tests::{Failure, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::dialect::Dialect;
use crate::figures::{Case, Cost, Results};
use crate::operation::Operation;
use crate::options::Options;

/// Pixels of the whole picture.
const SIZE: (u32, u32) = (1400, 700);

/// The operations that are drawn, one row each.
const OPERATIONS: [Operation; 2] = [Operation::Apply, Operation::NoOpPlan];

/// The figures that are drawn, one column each.
const FIGURES: [(&str, Figure); 4] = [
    ("wall s", |cost| cost.wall_seconds),
    ("provider's processor s", |cost| cost.provider_seconds),
    ("peak memory MB", |cost| cost.memory_bytes / 1e6),
    ("calls", |cost| cost.calls),
];

type Figure = fn(&Cost) -> f64;

type Drawn = std::result::Result<(), DrawingAreaErrorKind<io::Error>>;

/// One diagram.
struct Panel {
    title: String,
    lines: Vec<Line>,
}

/// A figure of one dialect.
struct Line {
    name: &'static str,
    color: RGBColor,
    /// Numbers of stacks, and the figure for each. On a logarithmic scale there is no place for 0.
    points: Vec<(f64, f64)>,
}

/// The picture, at the longest delay that was measured. Both axes are logarithmic: a cost that grows with the number
/// of stacks is a straight line at 45 degrees, and a constant ratio a constant distance.
pub(crate) fn svg(options: &Options, results: &Results) -> Result<String> {
    let mut text = String::new();
    draw(&mut text, &panels(options, results)).map_err(Failure::during("drawing the costs"))?;
    Ok(text)
}

fn panels(options: &Options, results: &Results) -> Vec<Panel> {
    let Some(delay) = results.cases().map(|case| case.delay).max() else { return Vec::new() };
    let panel = |operation: Operation, name: &str, figure: Figure| {
        let cases = || results.cases().filter(move |case| case.delay == delay && case.operation == operation);
        let mut lines = Vec::new();
        for (dialect, color) in Dialect::BOTH.into_iter().zip([BLUE, RED]) {
            let cost = |case: Case| Some((case.stacks as f64, figure(&results.median(case, dialect)?)));
            lines.push(Line { name: dialect.name(), color, points: cases().filter_map(cost).collect() });
        }
        if name == FIGURES[0].0 {
            let limit = |case: Case| case.operation.limit(case.stacks, delay, options.provisioning).as_secs_f64();
            let points = cases().map(|case| (case.stacks as f64, limit(case))).collect();
            lines.push(Line { name: "limit", color: BLACK, points });
        }
        for line in &mut lines {
            line.points.retain(|&(_, cost)| cost > 0.0);
        }
        lines.retain(|line| !line.points.is_empty());
        Panel { title: format!("{}, {} ms a call: {name}", operation.name(), delay.as_millis()), lines }
    };
    OPERATIONS.into_iter().flat_map(|operation| FIGURES.map(|(name, figure)| panel(operation, name, figure))).collect()
}

fn draw(text: &mut String, panels: &[Panel]) -> Drawn {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((OPERATIONS.len(), FIGURES.len()));
    for (area, panel) in areas.iter().zip(panels).filter(|(_, panel)| !panel.lines.is_empty()) {
        draw_panel(area, panel)?;
    }
    root.present()
}

fn draw_panel(area: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel) -> Drawn {
    let points = || panel.lines.iter().flat_map(|line| line.points.iter().copied());
    let [horizontal, vertical] = [around(points().map(|point| point.0)), around(points().map(|point| point.1))];
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 13))
        .margin(10)
        .x_label_area_size(34)
        .y_label_area_size(54)
        .build_cartesian_2d(horizontal.log_scale(), vertical.log_scale())?;
    let label = |value: &f64| if *value < 1.0 { format!("{value:.3}") } else { format!("{value:.0}") };
    chart.configure_mesh().x_desc("stacks").x_label_formatter(&label).y_label_formatter(&label).draw()?;
    for Line { name, color, points } in &panel.lines {
        let color = *color;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()
}

/// A range with some room on both sides of these values.
fn around(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (least, most) =
        values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    least / 1.5..most * 1.5
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn results() -> Results {
        let mut results = Results::default();
        for (delay, stacks) in [(0, 1), (80, 1), (80, 10)] {
            for operation in Operation::ALL {
                let case = Case { delay: Duration::from_millis(delay), stacks, operation };
                let cost = Cost { wall_seconds: 1.5, memory_bytes: 2e7, calls: 10.0, ..Cost::default() };
                results.add(case, Dialect::Ours, cost);
            }
        }
        results
    }

    #[test]
    fn the_longest_delay_is_drawn_without_what_is_not_there() {
        let panels = panels(&Options::default(), &results());
        assert_eq!(panels.len(), OPERATIONS.len() * FIGURES.len());
        assert!(panels.iter().all(|panel| panel.title.contains("80 ms")));
        let names = |panel: &Panel| panel.lines.iter().map(|line| line.name).collect::<Vec<_>>();
        assert_eq!(names(&panels[0]), ["codestream", "limit"]);
        assert_eq!(names(&panels[1]), [""; 0], "no processor time was measured");
        assert_eq!(panels[3].lines[0].points, [(1.0, 10.0), (10.0, 10.0)]);
    }

    #[test]
    fn a_picture_comes_of_many_results_and_of_none() {
        let text = svg(&Options::default(), &results()).unwrap();
        assert!(text.starts_with("<svg") && text.contains("apply of that plan, 80 ms a call: wall s"), "{text}");
        assert!(svg(&Options::default(), &Results::default()).unwrap().starts_with("<svg"));
    }
}
