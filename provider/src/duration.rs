//! Durations as Go writes them, which is how Terraform users write them.

use std::time::Duration;

/// Reads a duration in the form of Go's `time.ParseDuration`: numbers, each with its unit (`h`, `m`, `s`, `ms`,
/// `us`, `ns`), such as `15m`, `1h30m`, `1.5h` or `300s`. Negative ones are refused.
///
/// # Errors
///
/// Says what was given and what is allowed.
pub(crate) fn parse_go_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    nanoseconds(text).map(Duration::from_nanos).ok_or_else(|| {
        format!(
            "{text:?} is not a duration: write one or more numbers, each with a unit (h, m, s or ms), such as \"15m\", \
             \"1h30m\", \"1.5h\" or \"300s\""
        )
    })
}

fn nanoseconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    loop {
        let (number, tail) = rest.split_at(rest.find(|c: char| !is_numeric(c))?);
        let (unit, tail) = tail.split_at(tail.find(is_numeric).unwrap_or(tail.len()));
        total = total.checked_add(part(number, unit)?)?;
        if tail.is_empty() {
            return Some(total);
        }
        rest = tail;
    }
}

fn is_numeric(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

fn part(number: &str, unit: &str) -> Option<u64> {
    let scale: u64 = match unit {
        "ns" => 1,
        // Go takes the micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanoseconds = whole.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.chars().filter_map(|c| c.to_digit(10)) {
        place /= 10;
        nanoseconds = nanoseconds.checked_add(u64::from(digit) * place)?;
    }
    Some(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads_is_read_alike() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("2.s", 2_000),
            ("300s", 300_000),
            ("500ms", 500),
            ("1h2m3s4ms", 3_723_004),
            ("1000us", 1),
            ("1000\u{b5}s", 1),
        ] {
            assert_eq!(parse_go_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for text in ["", "15", "m", "-5m", "1.2.3s", ".s", "15 m", "15min", "1d", "15m ", "99999999999999h", "1h30"] {
            let said = parse_go_duration(text).expect_err(text);
            assert!(said.contains(&format!("{text:?}")) && said.contains("1h30m"), "{said}");
        }
    }
}
