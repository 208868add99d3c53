//! Certificates: which host names one covers, and until when it is valid.

use time::OffsetDateTime;

/// Whether one of a certificate's names covers a host name: the same name, or a wildcard, which stands for exactly
/// one label (RFC 6125, section 6.4.3; ACM has wildcards in the leftmost label only). Case does not matter.
pub(crate) fn covers(hostname: &str, names: &[String]) -> bool {
    names.iter().any(|name| {
        let wildcard = name.strip_prefix("*.").zip(hostname.split_once('.'));
        let matches =
            wildcard.is_some_and(|(domain, (label, rest))| !label.is_empty() && domain.eq_ignore_ascii_case(rest));
        matches || name.eq_ignore_ascii_case(hostname)
    })
}

/// A time in seconds of Unix time, as RFC 3339 has it: `2026-11-20T12:00:00Z`. One before 1970 counts as that.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds.max(0)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!("{}T{:02}:{:02}:{:02}Z", time.date(), time.hour(), time.minute(), time.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(hostname: &str, name: &str) -> bool {
        covers(hostname, &[name.to_owned()])
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        assert!(covered("a.example.com", "*.example.com"));
        for hostname in ["example.com", "a.b.example.com", ".example.com", "a.example.org", "a.badexample.com", ""] {
            assert!(!covered(hostname, "*.example.com"), "{hostname}");
        }
    }

    #[test]
    fn a_name_covers_itself_in_any_case_and_nothing_below_it() {
        assert!(covered("Codestream.example.com", "codestream.EXAMPLE.com"));
        assert!(!covered("a.codestream.example.com", "codestream.example.com"));
    }

    #[test]
    fn one_of_the_names_is_enough_and_none_covers_nothing() {
        let names = ["other.example.com".to_owned(), "*.example.org".to_owned()];
        assert!(covers("a.example.org", &names));
        assert!(!covers("a.example.org", &[]));
    }

    #[test]
    fn times_are_written_as_terraform_reads_them() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1970-01-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), written);
        }
    }
}
