//! Listeners: what AWS is told of one, and the certificates that it serves.

use std::collections::{BTreeMap, BTreeSet};

use super::{Run, StepError};
use crate::aws::{ActionInfo, ListenerSettings, MUTUAL_AUTHENTICATION_OFF};
use crate::stack::step::Change;
use crate::stack::{Action, Listener, NodeId, Ref};

impl Run<'_> {
    /// A listener's settings with its references resolved.
    pub(super) fn settings(&self, listener: &Listener) -> Result<ListenerSettings, StepError> {
        let action = match &listener.action {
            Action::Forward(weights) => ActionInfo::Forward(self.weighted(weights)?),
            Action::RedirectToHttps(port) => ActionInfo::Redirect {
                protocol: "HTTPS".to_owned(),
                port: port.to_string(),
                status: "HTTP_301".to_owned(),
            },
            Action::Other(kind, weights) => ActionInfo::Other(kind.clone(), self.weighted(weights)?),
        };
        // What is not to change is not sent: AWS would want all of it again.
        let ends = listener.protocol == "HTTPS"
            && listener.mutual_authentication.is_none()
            && self.observed.listener(&self.step.node).is_some_and(|there| there.mutual_authentication.is_some());
        Ok(ListenerSettings {
            port: listener.port,
            protocol: listener.protocol.clone(),
            ssl_policy: listener.ssl_policy.clone(),
            certificate_arn: listener.certificate_arn.clone(),
            mutual_authentication: ends.then(|| MUTUAL_AUTHENTICATION_OFF.to_owned()),
            action,
        })
    }

    fn weighted(&self, weights: &BTreeMap<Ref, i64>) -> Result<Vec<(String, i64)>, StepError> {
        weights.iter().map(|(group, weight)| Ok((self.resolve(group)?, *weight))).collect()
    }

    /// Takes certificates off the list, those that are on it. AWS refuses what is not, be it that the first try of a call
    /// has done it; and whether it lets the default one go is left to it, because that is served on the list or not.
    pub(super) async fn remove_certificates(&self, arns: &BTreeSet<String>) -> Result<(), StepError> {
        let id = self.id()?;
        let default = self.observed.listener(&self.step.node).and_then(|there| there.certificate_arn.as_ref());
        let listed = self.aws().additional_certificates(id).await?;
        for arn in arns.intersection(&listed) {
            match self.aws().remove_listener_certificates(id, &[arn.clone()].into()).await {
                Err(error) if matches!(error.code.as_str(), "OperationNotPermitted" | "CertificateNotFound") => {
                    if default != Some(arn) && self.aws().additional_certificates(id).await?.contains(arn) {
                        return Err(error.into());
                    }
                }
                other => other?,
            }
        }
        Ok(())
    }

    pub(super) async fn look_for_certificate(&self, arn: &str) -> Result<(), StepError> {
        let balancer = self.id_of(&NodeId::LoadBalancer)?;
        let id = self.id()?;
        let listeners = self.aws().listeners(balancer).await?;
        let served = listeners
            .iter()
            .any(|listener| listener.arn == id && listener.settings.certificate_arn.as_deref() == Some(arn));
        if served { Ok(()) } else { Err(StepError::Waiting(format!("{} does not serve {arn} yet", self.step.node))) }
    }

    /// Whether ACM has issued every certificate that the step uses, so that a refusal must pass.
    pub(super) async fn certificates_issued(&self) -> bool {
        let arns: Vec<&String> = match &self.step.change {
            Change::CreateListener(listener) | Change::ModifyListener(listener) => {
                listener.certificate_arn.iter().collect()
            }
            Change::AddCertificates(arns) => arns.iter().collect(),
            _ => Vec::new(),
        };
        for arn in arns {
            let found = self.aws().certificate(arn).await;
            if !matches!(found, Ok(Some(certificate)) if certificate.status == "ISSUED") {
                return false;
            }
        }
        true
    }
}
