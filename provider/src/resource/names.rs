//! Names that fit what AWS allows, and tell what they are of.

use crate::stack::cluster::hash;

/// AWS's limit for the name of a target group, in characters.
const GROUP_NAME_LIMIT: usize = 32;
/// How much of a hash a name carries.
pub(crate) const HASH_LENGTH: usize = 8;
/// The longest short name of a role, between hyphens.
const LONGEST_ROLE: &str = "-api-";

/// The start of the names of a stack's target groups.
pub(crate) fn group_prefix(stack: &str) -> String {
    let room = GROUP_NAME_LIMIT - HASH_LENGTH - LONGEST_ROLE.len();
    let cut: String = stack.chars().take(room).collect();
    format!("{}-", cut.trim_end_matches('-'))
}

/// The name of a target group. It differs whenever something does that AWS does not let change, so that the new group
/// can exist beside the old one.
pub(crate) fn group_name(stack: &str, short: &str, immutable: &str) -> String {
    format!("{}{short}-{}", group_prefix(stack), hash(immutable, HASH_LENGTH))
}

/// Whether a name is one that a stack gives to its target groups of these roles.
pub(crate) fn is_group_name(prefix: &str, shorts: &[&str], name: &str) -> bool {
    let Some(rest) = name.strip_prefix(prefix) else { return false };
    let Some((role, hash)) = rest.split_once('-') else { return false };
    shorts.contains(&role) && hash.len() == HASH_LENGTH && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name of a stack's security group of a role.
pub(crate) fn security_group_name(stack: &str, role: &str) -> String {
    format!("{stack}-{role}")
}
