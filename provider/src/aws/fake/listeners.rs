//! Elastic Load Balancing: listeners, their certificates and rules.

use std::collections::BTreeSet;

use super::{Answer, Listener, Refusal, State, refuse};
use crate::aws::{ActionInfo, ListenerInfo, ListenerRuleInfo, ListenerSettings, MUTUAL_AUTHENTICATION_OFF, Tags};

/// What an `HTTPS` listener gets when it names none; the API's default, not the console's.
const DEFAULT_SSL_POLICY: &str = "ELBSecurityPolicy-2016-08";

impl State {
    pub(super) fn listeners_of(&self, load_balancer_arn: &str) -> Vec<ListenerInfo> {
        self.listeners_where(|_, listener| listener.load_balancer_arn == load_balancer_arn)
    }

    pub(super) fn listeners_where(&self, is_meant: impl Fn(&String, &Listener) -> bool) -> Vec<ListenerInfo> {
        let of = self.listeners.iter().filter(|(arn, listener)| is_meant(arn, listener));
        of.map(|(arn, listener)| ListenerInfo { arn: arn.clone(), settings: listener.settings.clone() }).collect()
    }

    pub(super) fn listener_rules(&self, listener_arn: &str) -> Vec<ListenerRuleInfo> {
        let of = self.rules.iter().filter(|(_, rule)| rule.listener_arn == listener_arn);
        of.map(|(arn, rule)| ListenerRuleInfo {
            arn: arn.clone(),
            priority: rule.priority.clone(),
            target_group_arns: rule.target_group_arns.clone(),
        })
        .collect()
    }

    /// Idempotent as the other creates are; another listener on the port is a duplicate.
    pub(super) fn create_listener(
        &mut self,
        load_balancer_arn: &str,
        settings: &ListenerSettings,
        tags: &Tags,
    ) -> Answer<String> {
        self.changed_load_balancer(load_balancer_arn)?;
        let settings = self.check_listener(load_balancer_arn, settings)?;
        let existing =
            self.listeners_of(load_balancer_arn).into_iter().find(|found| found.settings.port == settings.port);
        if let Some(existing) = existing {
            let message = format!("a listener already exists on port {}", settings.port);
            return if existing.settings == settings { Ok(existing.arn) } else { refuse("DuplicateListener", message) };
        }
        let path = load_balancer_arn.replacen(":loadbalancer/", ":listener/", 1);
        let arn = format!("{path}/{:016x}", self.next_id());
        let listener = Listener {
            load_balancer_arn: load_balancer_arn.to_owned(),
            settings,
            additional_certificates: BTreeSet::new(),
            tags: tags.clone(),
            visible_from: self.clock + self.consistency,
        };
        self.listeners.insert(arn.clone(), listener);
        Ok(arn)
    }

    /// The settings as AWS stores them, if it takes them.
    fn check_listener(&mut self, load_balancer_arn: &str, settings: &ListenerSettings) -> Answer<ListenerSettings> {
        let mut settings = settings.clone();
        match (settings.protocol.as_str(), &settings.certificate_arn) {
            ("HTTPS", None) => return refuse("ValidationError", "a certificate must be specified for HTTPS listeners"),
            ("HTTPS", Some(arn)) => {
                self.check_certificate(arn)?;
                settings.ssl_policy.get_or_insert_with(|| DEFAULT_SSL_POLICY.to_owned());
            }
            ("HTTP", None) if settings.ssl_policy.is_none() => {}
            ("HTTP", _) => return refuse("ValidationError", "an HTTP listener has no certificate and no policy"),
            (protocol, _) => return refuse("UnsupportedProtocol", protocol),
        }
        if let Some(policy) = settings.ssl_policy.as_deref().filter(|name| !name.starts_with("ELBSecurityPolicy-")) {
            return refuse("SSLPolicyNotFound", policy);
        }
        if let ActionInfo::Forward(groups) = &settings.action {
            if !(1..=5).contains(&groups.len()) || groups.iter().any(|(_, weight)| !(0..=999).contains(weight)) {
                return refuse("ValidationError", "forward to 1 to 5 target groups, with weights from 0 to 999");
            }
            for (arn, _) in groups {
                self.changed_target_group(arn)?;
                if let Some(other) = self.load_balancers_of(arn).iter().find(|other| *other != load_balancer_arn) {
                    return refuse("TargetGroupAssociationLimit", format!("{arn} is used by {other}"));
                }
            }
        }
        Ok(settings)
    }

    fn check_certificate(&self, arn: &str) -> Answer<()> {
        match self.certificates.get(arn) {
            None => refuse("CertificateNotFound", arn),
            Some(certificate) if certificate.status != "ISSUED" => {
                refuse("UnsupportedCertificate", format!("{arn} must have a fully-qualified domain name and be issued"))
            }
            Some(_) => Ok(()),
        }
    }

    /// A listener as a change finds it.
    pub(super) fn changed_listener(&mut self, arn: &str) -> Answer<&mut Listener> {
        let found = self.listeners.get_mut(arn).filter(|found| found.visible_from <= self.clock);
        found.ok_or_else(|| Refusal::new("ListenerNotFound", arn))
    }

    /// An `HTTP` listener has no additional certificates, so the change to one drops them.
    pub(super) fn modify_listener(&mut self, arn: &str, settings: &ListenerSettings) -> Answer<()> {
        let load_balancer_arn = self.changed_listener(arn)?.load_balancer_arn.clone();
        let settings = self.check_listener(&load_balancer_arn, settings)?;
        let mut others = self.listeners_of(&load_balancer_arn).into_iter().filter(|other| other.arn != arn);
        if others.any(|other| other.settings.port == settings.port) {
            return refuse("DuplicateListener", format!("a listener already exists on port {}", settings.port));
        }
        let listener = self.changed_listener(arn)?;
        if settings.protocol == "HTTP" {
            listener.additional_certificates.clear();
        }
        let mutual_authentication = match settings.mutual_authentication.as_deref() {
            Some(MUTUAL_AUTHENTICATION_OFF) => None,
            Some(mode) => Some(mode.to_owned()),
            None => listener.settings.mutual_authentication.clone().filter(|_| settings.protocol == "HTTPS"),
        };
        listener.settings = ListenerSettings { mutual_authentication, ..settings };
        Ok(())
    }

    /// Fine with certificates that are on the list already.
    pub(super) fn add_listener_certificates(&mut self, arn: &str, certificates: &BTreeSet<String>) -> Answer<()> {
        certificates.iter().try_for_each(|certificate| self.check_certificate(certificate))?;
        self.changed_listener(arn)?.additional_certificates.extend(certificates.iter().cloned());
        Ok(())
    }

    /// The default certificate is not on the list unless it was added to it, and cannot be taken away.
    pub(super) fn remove_listener_certificates(&mut self, arn: &str, certificates: &BTreeSet<String>) -> Answer<()> {
        let listener = self.changed_listener(arn)?;
        let default = listener.settings.certificate_arn.as_ref();
        if default.is_some_and(|arn| certificates.contains(arn) && !listener.additional_certificates.contains(arn)) {
            return refuse("OperationNotPermitted", "the default certificate cannot be removed");
        }
        listener.additional_certificates.retain(|certificate| !certificates.contains(certificate));
        Ok(())
    }

    /// Takes its rules along.
    pub(super) fn delete_listener(&mut self, arn: &str) -> Answer<()> {
        let removed = self.listeners.remove(arn);
        self.rules.retain(|_, rule| rule.listener_arn != arn);
        removed.map(|_| ()).ok_or_else(|| Refusal::new("ListenerNotFound", arn))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{https, pair, tags};
    use super::super::{FakeAws, cert_arn, pending_cert_arn};
    use super::*;
    use crate::aws::Aws;

    #[tokio::test(start_paused = true)]
    async fn a_listener_takes_a_certificate_once_it_is_issued() {
        let aws = FakeAws::new();
        let (balancer, group) = pair(&aws).await;
        let mut listener = https(443, &group, 1);
        listener.certificate_arn = Some(cert_arn(99));
        assert_eq!(
            aws.create_listener(&balancer, &listener, &tags("us")).await.unwrap_err().code,
            "CertificateNotFound"
        );
        listener.certificate_arn = Some(pending_cert_arn());
        assert_eq!(
            aws.create_listener(&balancer, &listener, &tags("us")).await.unwrap_err().code,
            "UnsupportedCertificate"
        );
        aws.state().certificates.get_mut(&pending_cert_arn()).unwrap().status = "ISSUED".to_owned();
        aws.create_listener(&balancer, &listener, &tags("us")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_default_certificate_is_no_additional_one_until_it_is_added() {
        let aws = FakeAws::new();
        let (balancer, group) = pair(&aws).await;
        let arn = aws.create_listener(&balancer, &https(443, &group, 1), &tags("us")).await.unwrap();
        let second = BTreeSet::from([cert_arn(2)]);
        for _ in 0..2 {
            aws.add_listener_certificates(&arn, &second).await.unwrap();
        }
        aws.modify_listener(&arn, &https(443, &group, 2)).await.unwrap();
        assert_eq!(aws.additional_certificates(&arn).await.unwrap(), second);
        aws.remove_listener_certificates(&arn, &second).await.unwrap();
        assert!(aws.additional_certificates(&arn).await.unwrap().is_empty());
        assert_eq!(aws.remove_listener_certificates(&arn, &second).await.unwrap_err().code, "OperationNotPermitted");
    }
}
