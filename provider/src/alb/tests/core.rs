//! Core around a `codestream_alb`.

use crate::alb::CodestreamAlb;

pub(super) use crate::resource::testing::core::Applied;

pub(super) type Core = crate::resource::testing::core::Core<CodestreamAlb>;
