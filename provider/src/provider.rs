//! The provider: its settings, and what it offers.

use std::sync::Arc;

use async_trait::async_trait;
use tfplugin::diagnostics::Diagnostics;
use tfplugin::provider::{DataSource, Function, Provider, Resource};
use tfplugin::schema::Schema;
use tfplugin::value::Value;

use crate::alb::Alb;
use crate::deepstream::Cluster;
use crate::settings::{self, Settings, Shared};
use crate::{data_sources, functions};

/// The codestream provider.
pub struct Codestream {
    schema: Schema,
    settings: Shared,
    resources: Vec<Arc<dyn Resource>>,
    data_sources: Vec<Arc<dyn DataSource>>,
    functions: Vec<Arc<dyn Function>>,
}

impl Codestream {
    /// The provider, not configured yet.
    pub fn new() -> Self {
        let settings = Shared::default();
        Self {
            schema: settings::schema(),
            resources: vec![Arc::new(Alb::new(settings.clone())), Arc::new(Cluster::new(settings.clone()))],
            data_sources: data_sources::all(&settings),
            functions: functions::all(),
            settings,
        }
    }
}

impl Default for Codestream {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for Codestream {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn resources(&self) -> &[Arc<dyn Resource>] {
        &self.resources
    }

    fn data_sources(&self) -> &[Arc<dyn DataSource>] {
        &self.data_sources
    }

    fn functions(&self) -> &[Arc<dyn Function>] {
        &self.functions
    }

    async fn validate(&self, config: &Value) -> Diagnostics {
        settings::validate(config)
    }

    async fn configure(&self, config: &Value) -> Diagnostics {
        self.settings.set(Settings::from_config(config));
        Diagnostics::new()
    }
}

#[cfg(test)]
mod tests;
