//! The data sources: what a configuration can find out about what is there already.

mod alb;
mod certificate;
mod instance;

use std::sync::Arc;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::provider::DataSource;

use crate::aws::Aws;
use crate::diagnose;
use crate::settings::Shared;

/// All data sources, with the provider's settings.
pub(crate) fn all(settings: &Shared) -> Vec<Arc<dyn DataSource>> {
    vec![
        Arc::new(alb::Alb::new(settings.clone())),
        Arc::new(certificate::Certificate::new(settings.clone())),
        Arc::new(instance::Instance::new(settings.clone())),
    ]
}

/// AWS, when the provider is configured.
fn aws(settings: &Shared) -> Result<Arc<dyn Aws>, Diagnostics> {
    settings.get().aws.clone().ok_or_else(diagnose::not_configured)
}

#[cfg(test)]
mod tests {
    use tfplugin::schema::Attribute;
    use tfplugin::value::Value;

    use super::*;
    use crate::aws::fake::FakeAws;
    use crate::settings::Settings;

    /// The settings of a provider that reaches this AWS.
    pub(super) fn settings(aws: &FakeAws) -> Shared {
        let mut settings = Settings::from_config(&Value::object::<&str>([]));
        settings.aws = Some(Arc::new(aws.clone()));
        let shared = Shared::default();
        shared.set(settings);
        shared
    }

    /// The one message of a failure: its summary and its detail.
    pub(super) fn message(failure: Diagnostics) -> String {
        let [only] = <[_; 1]>::try_from(failure.into_iter().collect::<Vec<_>>()).unwrap();
        format!("{}: {}", only.summary, only.detail)
    }

    #[test]
    fn the_schemas_obey_the_rules_of_terraform_and_describe_every_attribute() {
        fn undescribed(attributes: &[Attribute], found: &mut Vec<&'static str>) {
            for attribute in attributes {
                if !attribute.description.ends_with('.') {
                    found.push(attribute.name);
                }
                undescribed(attribute.nested(), found);
            }
        }
        for source in all(&Shared::default()) {
            assert_eq!(source.schema().check_rules(), Vec::<String>::new(), "{}", source.type_name());
            let mut found = Vec::new();
            undescribed(&source.schema().attributes, &mut found);
            assert_eq!(found, Vec::<&str>::new(), "{}", source.type_name());
        }
    }

    #[tokio::test]
    async fn nothing_is_read_before_the_provider_is_configured() {
        for source in all(&Shared::default()) {
            let config = source.schema().null_object();
            let failure = source.read(config, tfplugin::provider::Stop::new()).await.unwrap_err();
            assert!(message(failure).starts_with("The provider is not configured"), "{}", source.type_name());
        }
    }
}
