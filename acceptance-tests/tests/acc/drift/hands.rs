//! What somebody does to a stack by hand, and what AWS says of the whole stack before and after.

use std::collections::{BTreeMap, BTreeSet};

use acceptance_tests::Account;
use serde_json::{Value, json};

use crate::stack::{self, list, text};

/// The name of the security group of an account's stack.
const OWN_GROUP: &str = "codestream-alb-load-balancer";

/// Somebody who changes the stack of an account behind the provider's back.
pub(crate) struct Hands<'a>(pub(crate) &'a Account);

impl Hands<'_> {
    pub(crate) fn elb(&self, operation: &str, params: Value) -> Value {
        self.0.call("elbv2", operation, params)
    }

    pub(crate) fn ec2(&self, operation: &str, params: Value) -> Value {
        self.0.call("ec2", operation, params)
    }

    pub(crate) fn cache(&self, operation: &str, params: Value) -> Value {
        self.0.call("elasticache", operation, params)
    }

    /// The ARN of the load balancer.
    pub(crate) fn balancer(&self) -> Value {
        stack::load_balancer(self.0)["LoadBalancerArn"].clone()
    }

    /// Calls an operation on the load balancer.
    pub(crate) fn place(&self, operation: &str, mut params: Value) {
        params["LoadBalancerArn"] = self.balancer();
        self.elb(operation, params);
    }

    /// Sets an attribute of the load balancer.
    pub(crate) fn set(&self, key: &str, value: &str) {
        self.place("modify_load_balancer_attributes", json!({ "Attributes": [{ "Key": key, "Value": value }] }));
    }

    /// Moves the load balancer to those of the public subnets.
    pub(crate) fn subnets(&self, indices: &[usize]) {
        let ids: Vec<&String> = indices.iter().map(|index| &self.0.seed().public_subnet_ids[*index]).collect();
        self.place("set_subnets", json!({ "Subnets": ids }));
    }

    /// The ARN of the listener on a port.
    pub(crate) fn listener(&self, port: u16) -> Value {
        let listeners = self.elb("describe_listeners", json!({ "LoadBalancerArn": self.balancer() }));
        let found = list(&listeners, "Listeners").into_iter().find(|listener| listener["Port"] == port);
        found.expect("a listener on this port")["ListenerArn"].clone()
    }

    /// Changes the listener on a port.
    pub(crate) fn modify(&self, port: u16, mut params: Value) {
        params["ListenerArn"] = self.listener(port);
        self.elb("modify_listener", params);
    }

    /// Gives the listener on a port this action only.
    pub(crate) fn act(&self, port: u16, action: Value) {
        self.modify(port, json!({ "DefaultActions": [action] }));
    }

    pub(crate) fn delete_listener(&self, port: u16) {
        self.elb("delete_listener", json!({ "ListenerArn": self.listener(port) }));
    }

    /// Deletes the listener on a port, and makes one there that answers in cleartext by itself.
    pub(super) fn remake_listener(&self, port: u16) {
        self.delete_listener(port);
        let response = json!({ "StatusCode": "503", "ContentType": "text/plain", "MessageBody": "Closed" });
        let action = json!({ "Type": "fixed-response", "FixedResponseConfig": response });
        self.place("create_listener", json!({ "Port": port, "Protocol": "HTTP", "DefaultActions": [action] }));
    }

    /// Adds certificates to the listener on a port, or removes them, as `operation` says.
    pub(crate) fn certificates(&self, operation: &str, port: u16, arn: &str) {
        let certificates = json!([{ "CertificateArn": arn }]);
        self.elb(operation, json!({ "ListenerArn": self.listener(port), "Certificates": certificates }));
    }

    /// The ARN of the target group on a port.
    pub(crate) fn group(&self, port: u16) -> Value {
        let groups = list(&self.elb("describe_target_groups", json!({})), "TargetGroups");
        groups.iter().find(|group| group["Port"] == port).expect("a group on this port")["TargetGroupArn"].clone()
    }

    /// An action that forwards to the groups on these ports, by weight. To several of which one keeps its clients AWS
    /// forwards only so that clients stay in a group for a second.
    pub(crate) fn forward(&self, weights: &[(u16, u16)]) -> Value {
        let group = |(port, weight): &(u16, u16)| json!({ "TargetGroupArn": self.group(*port), "Weight": weight });
        let mut config = json!({ "TargetGroups": weights.iter().map(group).collect::<Vec<_>>() });
        if weights.len() > 1 {
            config["TargetGroupStickinessConfig"] = json!({ "Enabled": true, "DurationSeconds": 1 });
        }
        json!({ "Type": "forward", "ForwardConfig": config })
    }

    /// Changes the health check of the group on a port.
    pub(crate) fn probe(&self, port: u16, mut params: Value) {
        params["TargetGroupArn"] = self.group(port);
        self.elb("modify_target_group", params);
    }

    /// Sets attributes of the group on a port.
    pub(crate) fn set_of_group(&self, port: u16, attributes: &[(&str, &str)]) {
        let each: Vec<Value> = attributes.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        let params = json!({ "TargetGroupArn": self.group(port), "Attributes": each });
        self.elb("modify_target_group_attributes", params);
    }

    /// Registers or deregisters one of the seed's instances in the group on a port, as `operation` says.
    pub(crate) fn target(&self, operation: &str, port: u16, instance: usize) {
        let target = json!({ "Id": self.0.seed().instance_ids[instance] });
        self.elb(operation, json!({ "TargetGroupArn": self.group(port), "Targets": [target] }));
    }

    /// Registers an instance on a port of its own, or deregisters it.
    pub(crate) fn target_on_port(&self, operation: &str, port: u16, instance: usize, own: u16) {
        let target = json!({ "Id": self.0.seed().instance_ids[instance], "Port": own });
        self.elb(operation, json!({ "TargetGroupArn": self.group(port), "Targets": [target] }));
    }

    pub(crate) fn tag(&self, arn: &Value, key: &str, value: &str) {
        self.elb("add_tags", json!({ "ResourceArns": [arn], "Tags": [{ "Key": key, "Value": value }] }));
    }

    pub(crate) fn untag(&self, arn: &Value, key: &str) {
        self.elb("remove_tags", json!({ "ResourceArns": [arn], "TagKeys": [key] }));
    }

    /// The id of the stack's own security group.
    pub(crate) fn own_group(&self) -> Value {
        let filter = json!([{ "Name": "group-name", "Values": [OWN_GROUP] }]);
        self.ec2("describe_security_groups", json!({ "Filters": filter }))["SecurityGroups"][0]["GroupId"].clone()
    }

    /// Calls an operation about rules of the stack's own security group.
    pub(crate) fn rules(&self, operation: &str, permission: &Value) {
        self.ec2(operation, json!({ "GroupId": self.own_group(), "IpPermissions": [permission] }));
    }

    /// Takes away the rules of a security group of which `gone` is true.
    pub(crate) fn revoke(&self, group: &Value, gone: impl Fn(&Value) -> bool) {
        let filter = json!([{ "Name": "group-id", "Values": [group] }]);
        let rules = self.ec2("describe_security_group_rules", json!({ "Filters": filter }));
        for rule in list(&rules, "SecurityGroupRules").iter().filter(|rule| gone(rule)) {
            let egress = rule["IsEgress"] == true;
            let operation = if egress { "revoke_security_group_egress" } else { "revoke_security_group_ingress" };
            let ids = json!([rule["SecurityGroupRuleId"]]);
            self.ec2(operation, json!({ "GroupId": group, "SecurityGroupRuleIds": ids }));
        }
    }

    /// Takes away the first `count` rules that let the load balancer in at the instances.
    pub(crate) fn shut_out(&self, count: usize) {
        let group = json!(self.0.seed().instance_security_group_id);
        let left = std::cell::Cell::new(count);
        self.revoke(&group, |rule| {
            let ours = rule["ReferencedGroupInfo"]["GroupId"].is_string() && left.get() > 0;
            left.set(left.get() - usize::from(ours));
            ours
        });
    }

    /// Changes the stack's alias record.
    pub(crate) fn record(&self, action: &str, target: &str, evaluate: bool) {
        let seed = self.0.seed();
        let zone = &stack::load_balancer(self.0)["CanonicalHostedZoneId"];
        let alias = json!({ "HostedZoneId": zone, "DNSName": target, "EvaluateTargetHealth": evaluate });
        self.change_record(action, &json!({ "Name": seed.hostname, "Type": "A", "AliasTarget": alias }));
    }

    /// Puts an address in the place of the stack's alias record.
    pub(crate) fn plain_record(&self, address: &str) {
        let records = json!([{ "Value": address }]);
        let set = json!({ "Name": self.0.seed().hostname, "Type": "A", "TTL": 60, "ResourceRecords": records });
        self.change_record("UPSERT", &set);
    }

    fn change_record(&self, action: &str, set: &Value) {
        let batch = json!({ "Changes": [{ "Action": action, "ResourceRecordSet": set }] });
        let params = json!({ "HostedZoneId": self.0.seed().zone_id, "ChangeBatch": batch });
        self.0.call("route53", "change_resource_record_sets", params);
    }

    pub(crate) fn dns_name(&self) -> String {
        text(&stack::load_balancer(self.0)["DNSName"])
    }

    /// All that AWS says of the stack, one thing a line, with names for what gets another id when it is made again.
    pub(crate) fn picture(&self) -> BTreeSet<String> {
        let balancer = self.balancer();
        let mut lines = BTreeSet::from([format!("load balancer {balancer}")]);
        let mut tagged = BTreeMap::from([(text(&balancer), "load balancer".to_owned())]);
        let mut names = BTreeMap::new();
        self.draw_balancer(&mut lines);
        self.draw_listeners(&mut lines, &mut tagged);
        self.draw_groups(&mut lines, &mut tagged, &mut names);
        self.draw_security_groups(&mut lines, &mut names);
        let tags = self.elb("describe_tags", json!({ "ResourceArns": tagged.keys().collect::<Vec<_>>() }));
        for object in list(&tags, "TagDescriptions") {
            let what = &tagged[object["ResourceArn"].as_str().expect("an ARN")];
            lines
                .extend(list(&object, "Tags").iter().map(|tag| format!("{what}: tag {} {}", tag["Key"], tag["Value"])));
        }
        let records = json!({ "HostedZoneId": self.0.seed().zone_id });
        let records = self.0.call("route53", "list_resource_record_sets", records);
        lines.extend(list(&records, "ResourceRecordSets").iter().map(|record| format!("record {record}")));
        let named =
            |line: String| names.iter().fold(line, |line, (id, name): (&String, &String)| line.replace(id, name));
        lines.into_iter().map(named).collect()
    }

    fn draw_balancer(&self, lines: &mut BTreeSet<String>) {
        let balancer = stack::load_balancer(self.0);
        lines.insert(format!("load balancer: {} {}", balancer["Scheme"], balancer["IpAddressType"]));
        lines.extend(list(&balancer, "AvailabilityZones").iter().map(|zone| format!("subnet {}", zone["SubnetId"])));
        lines.extend(list(&balancer, "SecurityGroups").iter().map(|group| format!("load balancer: in {group}")));
        let attributes = stack::attributes(self.0);
        let attributes = attributes.as_object().into_iter().flatten();
        lines.extend(attributes.map(|(key, value)| format!("load balancer: {key} {value}")));
    }

    fn draw_listeners(&self, lines: &mut BTreeSet<String>, tagged: &mut BTreeMap<String, String>) {
        let listeners = self.elb("describe_listeners", json!({ "LoadBalancerArn": self.balancer() }));
        for listener in list(&listeners, "Listeners") {
            let what = format!("listener {}", listener["Port"]);
            for field in ["Protocol", "SslPolicy", "Certificates", "MutualAuthentication", "DefaultActions"] {
                lines.insert(format!("{what}: {field} {}", listener[field]));
            }
            if listener["Protocol"] == "HTTPS" {
                let params = json!({ "ListenerArn": listener["ListenerArn"] });
                let certificates = list(&self.elb("describe_listener_certificates", params), "Certificates");
                lines.extend(certificates.iter().map(|one| format!("{what}: certificate {}", one["CertificateArn"])));
            }
            tagged.insert(text(&listener["ListenerArn"]), what);
        }
    }

    fn draw_groups(
        &self,
        lines: &mut BTreeSet<String>,
        tagged: &mut BTreeMap<String, String>,
        names: &mut BTreeMap<String, String>,
    ) {
        for group in list(&self.elb("describe_target_groups", json!({})), "TargetGroups") {
            let (name, by_arn) =
                (text(&group["TargetGroupName"]), json!({ "TargetGroupArn": group["TargetGroupArn"] }));
            let settings = group.as_object().into_iter().flatten();
            let settings = settings.filter(|(key, _)| !["TargetGroupArn", "LoadBalancerArns"].contains(&key.as_str()));
            lines.extend(settings.map(|(key, value)| format!("group {name}: {key} {value}")));
            let attributes = list(&self.elb("describe_target_group_attributes", by_arn.clone()), "Attributes");
            lines.extend(attributes.iter().map(|one| format!("group {name}: {} {}", one["Key"], one["Value"])));
            let targets = list(&self.elb("describe_target_health", by_arn), "TargetHealthDescriptions");
            let registered = targets.iter().filter(|target| target["TargetHealth"]["State"] != "draining");
            lines.extend(registered.map(|target| format!("group {name}: target {}", target["Target"])));
            tagged.insert(text(&group["TargetGroupArn"]), format!("group {name}"));
            names.insert(text(&group["TargetGroupArn"]), name);
        }
    }

    fn draw_security_groups(&self, lines: &mut BTreeSet<String>, names: &mut BTreeMap<String, String>) {
        for group in list(&self.ec2("describe_security_groups", json!({})), "SecurityGroups") {
            let name = text(&group["GroupName"]);
            let tags = list(&group, "Tags");
            lines.extend(tags.iter().map(|tag| format!("security group {name}: tag {} {}", tag["Key"], tag["Value"])));
            // Every VPC has a group of this name.
            if name != "default" {
                names.insert(text(&group["GroupId"]), name);
            }
        }
        for rule in list(&self.ec2("describe_security_group_rules", json!({})), "SecurityGroupRules") {
            let fields = ["GroupId", "IsEgress", "IpProtocol", "FromPort", "ToPort", "CidrIpv4", "CidrIpv6"];
            let settings: Vec<String> = fields.iter().map(|field| rule[*field].to_string()).collect();
            let peer = &rule["ReferencedGroupInfo"]["GroupId"];
            lines.insert(format!("rule {} {peer} {}", settings.join(" "), rule["Description"]));
        }
    }
}
