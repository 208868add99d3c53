//! The security policies of Application Load Balancers: which there are, which are weak, and which one was meant.

/// How the names of all of them start.
pub(crate) const PREFIX: &str = "ELBSecurityPolicy-";

/// The predefined ones, without their prefix (Application Load Balancers guide, "Security policies for your Application
/// Load Balancer"). AWS adds to them.
static KNOWN: [&str; 45] = [
    "2016-08",
    "FS-1-1-2019-08",
    "FS-1-2-2019-08",
    "FS-1-2-Res-2019-08",
    "FS-1-2-Res-2020-10",
    "FS-2018-06",
    "TLS-1-0-2015-04",
    "TLS-1-1-2017-01",
    "TLS-1-2-2017-01",
    "TLS-1-2-Ext-2018-06",
    "TLS13-1-0-2021-06",
    "TLS13-1-0-FIPS-2023-04",
    "TLS13-1-0-FIPS-PQ-2025-09",
    "TLS13-1-0-PQ-2025-09",
    "TLS13-1-1-2021-06",
    "TLS13-1-1-FIPS-2023-04",
    "TLS13-1-2-2021-06",
    "TLS13-1-2-Ext0-FIPS-2023-04",
    "TLS13-1-2-Ext0-FIPS-PQ-2025-09",
    "TLS13-1-2-Ext0-RFC9151-FIPS-2023-07",
    "TLS13-1-2-Ext1-2021-06",
    "TLS13-1-2-Ext1-FIPS-2023-04",
    "TLS13-1-2-Ext1-FIPS-PQ-2025-09",
    "TLS13-1-2-Ext1-PQ-2025-09",
    "TLS13-1-2-Ext2-2021-06",
    "TLS13-1-2-Ext2-FIPS-2023-04",
    "TLS13-1-2-Ext2-FIPS-PQ-2025-09",
    "TLS13-1-2-Ext2-PQ-2025-09",
    "TLS13-1-2-FIPS-2023-04",
    "TLS13-1-2-FIPS-PQ-2025-09",
    "TLS13-1-2-PQ-2025-09",
    "TLS13-1-2-RFC9151-FIPS-2023-07",
    "TLS13-1-2-RFC9151-INTEROP1-FIPS-2023-07",
    "TLS13-1-2-RFC9151-INTEROP2-FIPS-2023-07",
    "TLS13-1-2-RFC9151-INTEROP3-FIPS-2023-07",
    "TLS13-1-2-RFC9151-INTEROP4-FIPS-2023-07",
    "TLS13-1-2-Res-2021-06",
    "TLS13-1-2-Res-FIPS-2023-04",
    "TLS13-1-2-Res-FIPS-PQ-2025-09",
    "TLS13-1-2-Res-PQ-2025-09",
    "TLS13-1-3-2021-06",
    "TLS13-1-3-FIPS-2023-04",
    "TLS13-1-3-FIPS-PQ-2025-09",
    "TLS13-1-3-PQ-2025-09",
    "TLS13-1-3-RFC9151-FIPS-2023-07",
];

/// How many characters a name may be away from the one that was meant.
const NEAR: usize = 3;

/// Whether a text has the form of a policy's name.
pub(crate) fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix(PREFIX).unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether AWS certainly has a policy of this name.
pub(crate) fn is_known(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|bare| KNOWN.contains(&bare))
}

/// Whether a policy admits TLS 1.0 or 1.1, or ciphers without forward secrecy (`Ext`). One whose name starts with a year
/// is older than TLS 1.2 as the minimum.
pub(crate) fn is_weak(name: &str) -> bool {
    let bare = name.strip_prefix(PREFIX).unwrap_or(name);
    let admits_old_tls = ["20", "TLS-1-0", "TLS-1-1", "TLS13-1-0", "TLS13-1-1", "FS-2018", "FS-1-1"];
    admits_old_tls.iter().any(|prefix| bare.starts_with(prefix)) || bare.contains("-Ext")
}

/// The known policy that a name is most like, when it is like one.
pub(crate) fn meant(name: &str) -> Option<String> {
    let bare = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase();
    let away = |known: &&&str| distance(&bare, &known.to_ascii_lowercase());
    let nearest = KNOWN.iter().min_by_key(away).filter(|known| away(known) <= NEAR)?;
    Some(format!("{PREFIX}{nearest}"))
}

/// How many characters are to be put in, taken out or replaced to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let replaced = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::arguments::DEFAULT_SSL_POLICY;

    #[test]
    fn policies_that_admit_old_tls_or_weak_ciphers_are_weak() {
        for (name, weak) in [
            ("ELBSecurityPolicy-2016-08", true),
            ("ELBSecurityPolicy-2015-05", true),
            ("ELBSecurityPolicy-TLS-1-0-2015-04", true),
            ("ELBSecurityPolicy-TLS-1-1-2017-01", true),
            ("ELBSecurityPolicy-FS-2018-06", true),
            ("ELBSecurityPolicy-FS-1-1-2019-08", true),
            ("ELBSecurityPolicy-TLS13-1-0-2021-06", true),
            ("ELBSecurityPolicy-TLS13-1-1-2021-06", true),
            ("ELBSecurityPolicy-TLS13-1-0-FIPS-2023-04", true),
            ("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", true),
            ("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", true),
            ("ELBSecurityPolicy-TLS-1-2-2017-01", false),
            ("ELBSecurityPolicy-FS-1-2-2019-08", false),
            ("ELBSecurityPolicy-FS-1-2-Res-2020-10", false),
            ("ELBSecurityPolicy-TLS13-1-2-2021-06", false),
            ("ELBSecurityPolicy-TLS13-1-3-2021-06", false),
            ("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", false),
        ] {
            assert_eq!(is_weak(name), weak, "{name}");
        }
    }

    #[test]
    fn the_default_is_known_and_no_name_is_known_twice() {
        assert!(is_known(DEFAULT_SSL_POLICY));
        assert!(KNOWN.is_sorted_by(|one, other| one < other));
        assert!(KNOWN.iter().all(|bare| is_name(&format!("{PREFIX}{bare}"))));
    }

    #[test]
    fn a_near_miss_has_the_policy_that_was_meant() {
        for (name, expected) in [
            ("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-9", Some("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09")),
            ("ELBSecurityPolicy-tls13-1-2-2021-06", Some("ELBSecurityPolicy-TLS13-1-2-2021-06")),
            ("ELBSecurityPolicy-TLS1-3-1-2-2021-06", Some("ELBSecurityPolicy-TLS13-1-2-2021-06")),
            ("ELBSecurityPolicy-TLS-1-2-2017-10", Some("ELBSecurityPolicy-TLS-1-2-2017-01")),
            ("ELBSecurityPolicy-TLS14-2031", None),
        ] {
            assert!(!is_known(name), "{name}");
            assert_eq!(meant(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_distance_counts_what_is_put_in_taken_out_and_replaced() {
        for (one, other, expected) in [("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
