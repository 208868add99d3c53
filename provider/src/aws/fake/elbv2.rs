//! Elastic Load Balancing: load balancers, target groups and tags, and what AWS refuses about them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Answer, ELB_ARN, Interface, LoadBalancer, Refusal, State, Target, TargetGroup, check_tags, refuse};
use crate::aws::{
    ActionInfo, Attributes, HealthCheck, LoadBalancerInfo, LoadBalancerKey, LoadBalancerState, NewLoadBalancer,
    NewTargetGroup, Tags, TargetGroupInfo,
};

/// The attributes of a new application load balancer.
pub(super) fn load_balancer_defaults() -> Attributes {
    attributes(&[
        ("access_logs.s3.bucket", ""),
        ("access_logs.s3.enabled", "false"),
        ("access_logs.s3.prefix", ""),
        ("client_keep_alive.seconds", "3600"),
        ("connection_logs.s3.bucket", ""),
        ("connection_logs.s3.enabled", "false"),
        ("connection_logs.s3.prefix", ""),
        ("deletion_protection.enabled", "false"),
        ("health_check_logs.s3.bucket", ""),
        ("health_check_logs.s3.enabled", "false"),
        ("health_check_logs.s3.prefix", ""),
        ("idle_timeout.timeout_seconds", "60"),
        ("ipv6.deny_all_igw_traffic", "false"),
        ("load_balancing.cross_zone.enabled", "true"),
        ("routing.http.desync_mitigation_mode", "defensive"),
        ("routing.http.drop_invalid_header_fields.enabled", "false"),
        ("routing.http.preserve_host_header.enabled", "false"),
        ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false"),
        ("routing.http.xff_client_port.enabled", "false"),
        ("routing.http.xff_header_processing.mode", "append"),
        ("routing.http2.enabled", "true"),
        ("waf.fail_open.enabled", "false"),
        ("zonal_shift.config.enabled", "false"),
    ])
}

/// The attributes of a new target group of instances.
pub(super) fn target_group_defaults() -> Attributes {
    attributes(&[
        ("deregistration_delay.timeout_seconds", "300"),
        ("load_balancing.algorithm.anomaly_mitigation", "off"),
        ("load_balancing.algorithm.type", "round_robin"),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
        ("slow_start.duration_seconds", "0"),
        ("stickiness.app_cookie.cookie_name", ""),
        ("stickiness.app_cookie.duration_seconds", "86400"),
        ("stickiness.enabled", "false"),
        ("stickiness.lb_cookie.duration_seconds", "86400"),
        ("stickiness.type", "lb_cookie"),
        ("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
        ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
        ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
        ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off"),
    ])
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Names of load balancers and target groups: up to 32 letters, digits and inner hyphens, not `internal-...`.
fn check_name(name: &str) -> Answer<()> {
    let valid = (1..=32).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !(name.starts_with('-') || name.ends_with('-') || name.starts_with("internal-"));
    if valid { Ok(()) } else { refuse("ValidationError", format!("the name '{name}' is not valid")) }
}

/// The probe must be able to time out before the next one.
fn check_health_check(check: &HealthCheck) -> Answer<()> {
    if check.interval > check.timeout {
        return Ok(());
    }
    refuse("ValidationError", "the health check interval must be greater than the timeout")
}

/// Takes changed attributes over, all or none.
fn merge(attributes: &mut Attributes, changes: &Attributes) -> Answer<()> {
    if changes.len() > 20 {
        return refuse("ValidationError", "at most 20 attributes in a call");
    }
    if let Some(key) = changes.keys().find(|key| !attributes.contains_key(*key)) {
        return refuse("ValidationError", format!("attribute key '{key}' is not recognized"));
    }
    attributes.extend(changes.iter().map(|(key, value)| (key.clone(), value.clone())));
    Ok(())
}

/// Load balancers.
impl State {
    pub(super) fn load_balancer(&self, key: &LoadBalancerKey) -> Option<LoadBalancerInfo> {
        let is_meant = |info: &&LoadBalancerInfo| match key {
            LoadBalancerKey::Arn(arn) => info.arn == *arn,
            LoadBalancerKey::Name(name) => info.name == *name,
        };
        self.load_balancers.values().map(|load_balancer| &load_balancer.info).find(is_meant).cloned()
    }

    /// Idempotent: the same settings answer what is there, with the tags it has; other settings are a duplicate.
    pub(super) fn create_load_balancer(&mut self, new: &NewLoadBalancer) -> Answer<LoadBalancerInfo> {
        check_name(&new.name)?;
        let vpc_id = self.check_subnets(&new.subnet_ids)?;
        self.check_address_type(&new.ip_address_type, &new.subnet_ids)?;
        self.check_security_groups(&new.security_groups, &vpc_id)?;
        if let Some(existing) = self.load_balancer(&LoadBalancerKey::Name(new.name.clone())) {
            let same = existing.scheme == new.scheme
                && existing.ip_address_type == new.ip_address_type
                && existing.subnet_ids == new.subnet_ids
                && existing.security_groups == new.security_groups;
            let message = "a load balancer with this name exists, but with different settings";
            return if same { Ok(existing) } else { refuse("DuplicateLoadBalancerName", message) };
        }
        let id = self.next_id();
        let arn = format!("{ELB_ARN}:loadbalancer/app/{}/{id:016x}", new.name);
        let prefix = if new.scheme == "internal" { "internal-" } else { "" };
        let info = LoadBalancerInfo {
            arn: arn.clone(),
            name: new.name.clone(),
            kind: "application".to_owned(),
            scheme: new.scheme.clone(),
            ip_address_type: new.ip_address_type.clone(),
            vpc_id,
            dns_name: format!("{prefix}{}-{id}.us-east-1.elb.amazonaws.com", new.name),
            hosted_zone_id: "Z35SXDOTRQ7X7K".to_owned(),
            subnet_ids: new.subnet_ids.clone(),
            security_groups: new.security_groups.clone(),
            state: LoadBalancerState::Provisioning,
            state_reason: None,
        };
        let load_balancer = LoadBalancer {
            info: info.clone(),
            attributes: load_balancer_defaults(),
            tags: new.tags.clone(),
            ready_at: self.clock + self.provisioning,
            visible_from: self.clock + self.consistency,
        };
        self.load_balancers.insert(arn, load_balancer);
        self.place_interfaces(&info);
        Ok(info)
    }

    /// A load balancer as a change finds it.
    pub(super) fn changed_load_balancer(&mut self, arn: &str) -> Answer<&mut LoadBalancer> {
        let found = self.load_balancers.get_mut(arn).filter(|found| found.visible_from <= self.clock);
        found.ok_or_else(|| Refusal::new("LoadBalancerNotFound", arn))
    }

    /// An application load balancer takes one subnet in each of two or more zones, of one VPC: that VPC.
    fn check_subnets(&self, ids: &BTreeSet<String>) -> Answer<String> {
        let (mut zones, mut vpcs) = (BTreeSet::new(), BTreeSet::new());
        for id in ids {
            let Some(subnet) = self.subnets.get(id) else { return refuse("SubnetNotFound", id) };
            if !zones.insert(&subnet.availability_zone) {
                return refuse("InvalidConfigurationRequest", "multiple subnets in the same availability zone");
            }
            if subnet.free_addresses < 8 {
                return refuse("InvalidSubnet", format!("not enough free addresses in {id}"));
            }
            vpcs.insert(&subnet.vpc_id);
        }
        match vpcs.first() {
            Some(vpc_id) if zones.len() >= 2 && vpcs.len() == 1 => Ok((*vpc_id).clone()),
            _ => refuse("InvalidConfigurationRequest", "at least two subnets in two availability zones of one VPC"),
        }
    }

    /// One with IPv6 addresses has them in all of its subnets.
    fn check_address_type(&self, ip_address_type: &str, subnet_ids: &BTreeSet<String>) -> Answer<()> {
        let lacks_ipv6 = |id: &&String| self.subnets.get(*id).is_some_and(|subnet| !subnet.has_ipv6);
        match subnet_ids.iter().find(lacks_ipv6).filter(|_| ip_address_type != "ipv4") {
            Some(id) => refuse("InvalidConfigurationRequest", format!("{id} has no IPv6 block")),
            None => Ok(()),
        }
    }

    fn check_security_groups(&self, ids: &BTreeSet<String>, vpc_id: &str) -> Answer<()> {
        for id in ids {
            match self.security_groups.get(id) {
                None => return refuse("InvalidSecurityGroup", id),
                Some(group) if group.vpc_id != vpc_id => {
                    return refuse("InvalidConfigurationRequest", format!("{id} is not in {vpc_id}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Makes a load balancer's interfaces match its subnets and security groups: one in each subnet.
    fn place_interfaces(&mut self, info: &LoadBalancerInfo) {
        let release = self.clock + self.interface_release;
        let mut missing = info.subnet_ids.clone();
        let in_use =
            |interface: &&mut Interface| interface.load_balancer_arn == info.arn && interface.released_at.is_none();
        for interface in self.interfaces.values_mut().filter(in_use) {
            if missing.remove(&interface.subnet_id) {
                interface.security_groups = info.security_groups.clone();
            } else {
                interface.released_at = Some(release);
            }
        }
        let path = info.arn.rsplit_once(":loadbalancer/").map_or("", |(_, path)| path);
        for subnet_id in missing {
            let id = format!("eni-{:017x}", self.next_id());
            let interface = Interface {
                load_balancer_arn: info.arn.clone(),
                description: format!("ELB {path}"),
                subnet_id,
                security_groups: info.security_groups.clone(),
                released_at: None,
            };
            self.interfaces.insert(id, interface);
        }
    }

    pub(super) fn modify_load_balancer_attributes(&mut self, arn: &str, changes: &Attributes) -> Answer<()> {
        merge(&mut self.changed_load_balancer(arn)?.attributes, changes)
    }

    pub(super) fn set_subnets(&mut self, arn: &str, ids: &BTreeSet<String>) -> Answer<()> {
        let LoadBalancerInfo { vpc_id, ip_address_type, .. } = self.changed_load_balancer(arn)?.info.clone();
        if self.check_subnets(ids)? != vpc_id {
            return refuse("InvalidSubnet", format!("the load balancer is in {vpc_id}"));
        }
        self.check_address_type(&ip_address_type, ids)?;
        let info = &mut self.changed_load_balancer(arn)?.info;
        info.subnet_ids = ids.clone();
        let info = info.clone();
        self.place_interfaces(&info);
        Ok(())
    }

    pub(super) fn set_security_groups(&mut self, arn: &str, ids: &BTreeSet<String>) -> Answer<()> {
        let vpc_id = self.changed_load_balancer(arn)?.info.vpc_id.clone();
        self.check_security_groups(ids, &vpc_id)?;
        let info = &mut self.changed_load_balancer(arn)?.info;
        info.security_groups = ids.clone();
        let info = info.clone();
        self.place_interfaces(&info);
        Ok(())
    }

    pub(super) fn set_ip_address_type(&mut self, arn: &str, ip_address_type: &str) -> Answer<()> {
        let subnet_ids = self.changed_load_balancer(arn)?.info.subnet_ids.clone();
        self.check_address_type(ip_address_type, &subnet_ids)?;
        self.changed_load_balancer(arn)?.info.ip_address_type = ip_address_type.to_owned();
        Ok(())
    }

    /// Takes listeners and rules along, leaves the interfaces for a while, and minds deletion protection.
    pub(super) fn delete_load_balancer(&mut self, arn: &str) -> Answer<()> {
        let Some(load_balancer) = self.load_balancers.get(arn) else { return Ok(()) };
        if load_balancer.attributes.get("deletion_protection.enabled").is_some_and(|value| value == "true") {
            return refuse("OperationNotPermitted", format!("deletion protection is enabled for {arn}"));
        }
        self.load_balancers.remove(arn);
        for listener in self.listeners_of(arn) {
            self.delete_listener(&listener.arn)?;
        }
        let release = self.clock + self.interface_release;
        for interface in self.interfaces.values_mut().filter(|interface| interface.load_balancer_arn == arn) {
            interface.released_at.get_or_insert(release);
        }
        Ok(())
    }
}

/// Target groups.
impl State {
    /// The target groups that are asked for.
    pub(super) fn target_groups_where(&self, is_meant: impl Fn(&TargetGroupInfo) -> bool) -> Vec<TargetGroupInfo> {
        self.target_groups.values().map(|group| &group.info).filter(|info| is_meant(info)).cloned().collect()
    }

    /// The load balancers whose listeners or rules refer to a target group, with whatever weight.
    pub(super) fn load_balancers_of(&self, target_group_arn: &str) -> BTreeSet<String> {
        let by_default = self.listeners.values().filter(|listener| match &listener.settings.action {
            ActionInfo::Forward(groups) | ActionInfo::Other(_, groups) => {
                groups.iter().any(|(arn, _)| arn == target_group_arn)
            }
            ActionInfo::Redirect { .. } => false,
        });
        let by_rule =
            self.rules.values().filter(|rule| rule.target_group_arns.iter().any(|arn| arn == target_group_arn));
        let by_rule = by_rule.filter_map(|rule| self.listeners.get(&rule.listener_arn));
        by_default.chain(by_rule).map(|listener| listener.load_balancer_arn.clone()).collect()
    }

    /// Idempotent: the same settings answer what is there, with the tags it has; other settings are a duplicate.
    pub(super) fn create_target_group(&mut self, new: &NewTargetGroup) -> Answer<String> {
        check_name(&new.name)?;
        check_health_check(&new.health_check)?;
        if !self.vpcs.contains_key(&new.vpc_id) {
            return refuse("ValidationError", format!("the VPC '{}' is not found", new.vpc_id));
        }
        if let Some(existing) = self.target_groups.values().map(|group| &group.info).find(|info| info.name == new.name)
        {
            let same = existing.protocol == new.protocol
                && existing.port == new.port
                && existing.vpc_id == new.vpc_id
                && existing.health_check == new.health_check;
            let message = "a target group with this name exists, but with different settings";
            return if same { Ok(existing.arn.clone()) } else { refuse("DuplicateTargetGroupName", message) };
        }
        let arn = format!("{ELB_ARN}:targetgroup/{}/{:016x}", new.name, self.next_id());
        let info = TargetGroupInfo {
            arn: arn.clone(),
            name: new.name.clone(),
            protocol: new.protocol.clone(),
            port: new.port,
            vpc_id: new.vpc_id.clone(),
            target_type: "instance".to_owned(),
            health_check: new.health_check.clone(),
        };
        let group = TargetGroup {
            info,
            attributes: target_group_defaults(),
            tags: new.tags.clone(),
            targets: Default::default(),
            visible_from: self.clock + self.consistency,
        };
        self.target_groups.insert(arn.clone(), group);
        Ok(arn)
    }

    /// A target group as a change finds it.
    pub(super) fn changed_target_group(&mut self, arn: &str) -> Answer<&mut TargetGroup> {
        let found = self.target_groups.get_mut(arn).filter(|found| found.visible_from <= self.clock);
        found.ok_or_else(|| Refusal::new("TargetGroupNotFound", arn))
    }

    pub(super) fn modify_target_group(&mut self, arn: &str, health_check: &HealthCheck) -> Answer<()> {
        check_health_check(health_check)?;
        self.changed_target_group(arn)?.info.health_check = health_check.clone();
        Ok(())
    }

    pub(super) fn modify_target_group_attributes(&mut self, arn: &str, changes: &Attributes) -> Answer<()> {
        merge(&mut self.changed_target_group(arn)?.attributes, changes)
    }

    /// Fine with registered targets, refused while a listener or rule refers to it.
    pub(super) fn delete_target_group(&mut self, arn: &str) -> Answer<()> {
        if !self.load_balancers_of(arn).is_empty() {
            return refuse("ResourceInUse", format!("{arn} is currently in use by a listener or a rule"));
        }
        let removed = self.target_groups.remove(arn);
        removed.map(|_| ()).ok_or_else(|| Refusal::new("TargetGroupNotFound", arn))
    }

    /// All or none; only running instances of the group's VPC. A draining target starts over.
    pub(super) fn register_targets(&mut self, arn: &str, instance_ids: &BTreeSet<String>) -> Answer<()> {
        let vpc_id = self.changed_target_group(arn)?.info.vpc_id.clone();
        for id in instance_ids {
            match self.instances.get(id) {
                Some(instance) if instance.state == "running" && instance.vpc_id == vpc_id => {}
                Some(instance) if instance.vpc_id == vpc_id => {
                    return refuse("InvalidTarget", format!("{id} is not in a running state but {}", instance.state));
                }
                _ => return refuse("InvalidTarget", format!("{id} is not an instance of {vpc_id}")),
            }
        }
        let group = self.changed_target_group(arn)?;
        for id in instance_ids {
            let target = group.targets.entry((id.clone(), group.info.port)).or_default();
            if target.draining_until.is_some() {
                *target = Target::default();
            }
        }
        Ok(())
    }

    /// Fine with targets that are not registered. The others drain for the whole delay, connections or not.
    pub(super) fn deregister_targets(&mut self, arn: &str, registrations: &BTreeSet<String>) -> Answer<()> {
        let (clock, shown_from) = (self.clock, self.clock + self.deregistration_lag);
        let group = self.changed_target_group(arn)?;
        let delay = group.attributes.get("deregistration_delay.timeout_seconds");
        let until = clock + Duration::from_secs(delay.and_then(|text| text.parse().ok()).unwrap_or(300));
        for registration in registrations {
            let (id, port) = registration.split_once(':').unwrap_or((registration, ""));
            let port = port.parse().unwrap_or(group.info.port);
            let registered = group.targets.get_mut(&(id.to_owned(), port));
            if let Some(target) = registered.filter(|target| target.draining_until.is_none()) {
                (target.draining_until, target.draining_shown_from) = (Some(until), shown_from);
            }
        }
        Ok(())
    }
}

/// Tags of all of them.
impl State {
    pub(super) fn elb_tags(&mut self, arn: &str) -> Answer<&mut Tags> {
        let kind = arn.split(':').nth(5).and_then(|path| path.split('/').next());
        match kind {
            Some("loadbalancer") => self.changed_load_balancer(arn).map(|object| &mut object.tags),
            Some("targetgroup") => self.changed_target_group(arn).map(|object| &mut object.tags),
            Some("listener") => self.changed_listener(arn).map(|object| &mut object.tags),
            Some("listener-rule") => {
                let found = self.rules.get_mut(arn).map(|object| &mut object.tags);
                found.ok_or_else(|| Refusal::new("RuleNotFound", arn))
            }
            _ => Err(Refusal::new("ValidationError", arn)),
        }
    }

    pub(super) fn change_elb_tags(&mut self, arn: &str, change: impl Fn(&mut Tags)) -> Answer<()> {
        let tags = self.elb_tags(arn)?;
        check_tags(tags, &change, "TooManyTags")?;
        change(tags);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::FakeAws;
    use super::super::fixtures::{http, load_balancer, pair, set, tags, target_group};
    use super::*;
    use crate::aws::{Aws, Result};

    fn code<T>(result: Result<T>) -> String {
        result.err().map_or_else(|| "no error".to_owned(), |error| error.code)
    }

    #[tokio::test(start_paused = true)]
    async fn a_create_with_equal_settings_answers_what_is_there_and_leaves_its_tags() {
        let aws = FakeAws::new();
        let (balancer, group) = pair(&aws).await;
        let again = NewLoadBalancer { tags: tags("other"), ..load_balancer("one") };
        assert_eq!(aws.create_load_balancer(&again).await.unwrap().arn, balancer);
        let again = NewTargetGroup { tags: tags("other"), ..target_group("one") };
        assert_eq!(aws.create_target_group(&again).await.unwrap(), group);
        let listener = aws.create_listener(&balancer, &http(80, &[(&group, 1)]), &tags("us")).await.unwrap();
        let again = aws.create_listener(&balancer, &http(80, &[(&group, 1)]), &tags("other")).await.unwrap();
        assert_eq!(again, listener);
        assert_eq!(aws.objects_tagged("owner", "us"), set(&[&balancer, &group, &listener]));
        assert!(aws.objects_tagged("owner", "other").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_create_with_other_settings_is_a_duplicate() {
        let aws = FakeAws::new();
        let (balancer, group) = pair(&aws).await;
        let other = NewLoadBalancer { scheme: "internal".to_owned(), ..load_balancer("one") };
        assert_eq!(code(aws.create_load_balancer(&other).await), "DuplicateLoadBalancerName");
        let other = NewTargetGroup { port: 81, ..target_group("one") };
        assert_eq!(code(aws.create_target_group(&other).await), "DuplicateTargetGroupName");
        aws.create_listener(&balancer, &http(80, &[(&group, 1)]), &tags("us")).await.unwrap();
        let other = aws.create_listener(&balancer, &http(80, &[(&group, 2)]), &tags("us")).await;
        assert_eq!(code(other), "DuplicateListener");
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_takes_fifty_tags() {
        let aws = FakeAws::new();
        let (balancer, _) = pair(&aws).await;
        let some = |count: u32| -> Tags { (0..count).map(|n| (format!("key-{n}"), String::new())).collect() };
        // It has one.
        assert_eq!(code(aws.add_tags(&balancer, &some(50)).await), "TooManyTags");
        aws.add_tags(&balancer, &some(49)).await.unwrap();
        assert_eq!(code(aws.add_ec2_tags(&set(&["sg-hosts"]), &some(51)).await), "TagLimitExceeded");
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_balancer_provisions_for_a_while_and_may_fail() {
        let aws = FakeAws::new();
        let (balancer, _) = pair(&aws).await;
        let state = || aws.state().load_balancers[&balancer].info.state.clone();
        tokio::time::advance(Duration::from_secs(149)).await;
        assert_eq!(state(), LoadBalancerState::Provisioning);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(state(), LoadBalancerState::Active);

        aws.state().provisioned = (LoadBalancerState::Failed, Some("no capacity".to_owned()));
        let created = aws.create_load_balancer(&load_balancer("two")).await.unwrap();
        tokio::time::advance(Duration::from_secs(150)).await;
        let failed = aws.load_balancer(&LoadBalancerKey::Arn(created.arn)).await.unwrap().unwrap();
        assert_eq!((failed.state, failed.state_reason.as_deref()), (LoadBalancerState::Failed, Some("no capacity")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_balancer_needs_one_subnet_in_each_of_two_zones() {
        let aws = FakeAws::new();
        for subnets in [set(&["subnet-a"]), set(&["subnet-a", "subnet-private"])] {
            let new = NewLoadBalancer { subnet_ids: subnets, ..load_balancer("one") };
            assert_eq!(code(aws.create_load_balancer(&new).await), "InvalidConfigurationRequest");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_do_not_find_a_fresh_object_at_first() {
        let aws = FakeAws::new();
        aws.state().consistency = Duration::from_secs(2);
        let (balancer, group) = pair(&aws).await;
        let instances = set(&["i-1"]);
        assert_eq!(code(aws.register_targets(&group, &instances).await), "TargetGroupNotFound");
        let listener = http(80, &[(&group, 1)]);
        assert_eq!(code(aws.create_listener(&balancer, &listener, &tags("us")).await), "LoadBalancerNotFound");
        assert_eq!(aws.target_groups(&set(&[&group])).await.unwrap().len(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        aws.register_targets(&group, &instances).await.unwrap();
        aws.create_listener(&balancer, &listener, &tags("us")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_group_serves_one_load_balancer_and_stays_while_it_does() {
        let aws = FakeAws::new();
        let (one, group) = pair(&aws).await;
        let two = aws.create_load_balancer(&load_balancer("two")).await.unwrap().arn;
        aws.create_listener(&one, &http(80, &[(&group, 0)]), &tags("us")).await.unwrap();
        let listener = http(80, &[(&group, 1)]);
        assert_eq!(code(aws.create_listener(&two, &listener, &tags("us")).await), "TargetGroupAssociationLimit");
        assert_eq!(code(aws.delete_target_group(&group).await), "ResourceInUse");
        assert_eq!(aws.target_groups_of(&one).await.unwrap()[0].arn, group);
        assert!(aws.target_groups_of(&two).await.unwrap().is_empty());
        aws.delete_load_balancer(&one).await.unwrap();
        aws.delete_target_group(&group).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_protected_load_balancer_stays_whole() {
        let aws = FakeAws::new();
        let (balancer, group) = pair(&aws).await;
        aws.create_listener(&balancer, &http(80, &[(&group, 1)]), &tags("us")).await.unwrap();
        let protect = Attributes::from([("deletion_protection.enabled".to_owned(), "true".to_owned())]);
        aws.modify_load_balancer_attributes(&balancer, &protect).await.unwrap();
        assert_eq!(code(aws.delete_load_balancer(&balancer).await), "OperationNotPermitted");
        assert_eq!(aws.listeners(&balancer).await.unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn only_running_instances_register_and_one_bad_one_stops_all() {
        let aws = FakeAws::new();
        let (_, group) = pair(&aws).await;
        aws.state().instances.get_mut("i-2").unwrap().state = "pending".to_owned();
        assert_eq!(code(aws.register_targets(&group, &set(&["i-1", "i-2"])).await), "InvalidTarget");
        assert!(aws.target_health(&group).await.unwrap().is_empty());
    }
}
