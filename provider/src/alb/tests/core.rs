//! Core around a `codestream_alb`.

use crate::alb::CodestreamAlb;
use crate::resource::testing::core;

pub(super) use core::Applied;

pub(super) type Core = core::Core<CodestreamAlb>;
