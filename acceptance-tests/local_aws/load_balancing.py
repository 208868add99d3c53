"""Elastic Load Balancing as AWS has it: what moto 5.2.5 accepts, forgets or answers at once and AWS does not.

The codes, messages and defaults are those of the Elastic Load Balancing API reference (2015-12-01).
"""

import re
import time
from collections import defaultdict
from itertools import count
from typing import Any

from moto.acm.models import AWSCertificateManagerBackend, acm_backends
from moto.core.exceptions import AWSError
from moto.elbv2 import models, responses
from moto.elbv2.exceptions import (
    ELBClientError,
    ListenerNotFoundError,
    LoadBalancerNotFoundError,
    SubnetNotFoundError,
    TargetGroupNotFoundError,
    TooManyTagsError,
)

from .network import hold_interfaces, release_interfaces
from .settings import accounts, replaces

LOAD_BALANCER_ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "client_keep_alive.seconds": "3600",
    "connection_logs.s3.bucket": "",
    "connection_logs.s3.enabled": "false",
    "connection_logs.s3.prefix": "",
    "idle_timeout.timeout_seconds": "60",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
    "zonal_shift.config.enabled": "false",
}
TARGET_GROUP_ATTRIBUTES = {
    "load_balancing.algorithm.anomaly_mitigation": "off",
    "stickiness.app_cookie.cookie_name": "",
    "stickiness.app_cookie.duration_seconds": "86400",
    "stickiness.lb_cookie.duration_seconds": "86400",
}
NO_PUBLIC_IPV4 = "dualstack-without-public-ipv4"
# Tells a registration from every other one, also of the same target: a data plane must not confuse their states.
REGISTRATIONS = count(1)
Backend = models.ELBv2Backend


def group_arns(actions: list[Any]) -> list[str]:
    """The target groups that actions forward to; actions are request dictionaries or moto's objects."""
    arns = []
    for action in actions:
        data = getattr(action, "data", action)
        forward = data.get("ForwardConfig", {}).get("TargetGroups", [])
        arns += [group["TargetGroupArn"] for group in forward] or [data.get("TargetGroupArn")]
    return [arn for arn in arns if arn]


def balancers_using(backend: Backend, group_arn: str) -> list[Any]:
    """The load balancers with a listener or rule that refers to the target group."""
    if vars(backend).get("users") is None:
        # Asked for each group of each answer, so looked up only after a change.
        backend.users = defaultdict(list)
        for balancer in backend.load_balancers.values():
            rules = (rule for listener in balancer.listeners.values() for rule in listener.rules.values())
            for arn in {arn for rule in rules for arn in group_arns(rule.actions)}:
                backend.users[arn].append(balancer)
    return backend.users.get(group_arn, [])


# --- load balancers


def check_name(name: str) -> None:
    problem = None
    if len(name) > 32:
        problem = "cannot be longer than '32' characters"
    elif not re.fullmatch("[A-Za-z0-9-]+", name):
        problem = "can only contain characters that are alphanumeric characters and hyphens(-)"
    elif name.startswith("-") or name.endswith("-"):
        problem = "cannot begin or end with a hyphen(-)"
    elif name.startswith("internal-"):
        problem = "cannot begin with 'internal-'"
    if problem:
        raise ELBClientError("ValidationError", f"The load balancer name '{name}' {problem}")


def check_subnets(backend: Backend, subnet_ids: list[str]) -> None:
    """Known subnets in at least two Availability Zones, one in each."""
    known = backend.ec2_backend.describe_subnets(filters={"subnet-id": subnet_ids})
    if len(known) < len(subnet_ids):
        raise SubnetNotFoundError()
    zones = [subnet.availability_zone for subnet in known]
    if len(set(zones)) < len(zones):
        message = "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        raise ELBClientError("InvalidConfigurationRequest", message)
    if len(zones) < 2:
        message = "At least two subnets in two different Availability Zones must be specified"
        raise ELBClientError("ValidationError", message)


def check_security_groups(backend: Backend, group_ids: list[str], vpc_id: str) -> None:
    for group_id in group_ids:
        group = backend.ec2_backend.get_security_group_from_id(group_id)
        if group is None or group.vpc_id != vpc_id:
            raise ELBClientError("InvalidSecurityGroup", f"Security group {group_id} is not valid")


@replaces(Backend)
def create_load_balancer(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """Checks what AWS checks; the same name with the same settings answers with what exists, tags unread."""
    name, subnets = arguments["name"], arguments["subnet_ids"]
    check_name(name)
    check_subnets(self, subnets)
    vpc_id = self.ec2_backend.get_subnet(subnets[0]).vpc_id
    default_group = self.ec2_backend.get_default_security_group(vpc_id)
    groups = arguments["security_groups"] or [default_group.id]
    check_security_groups(self, groups, vpc_id)
    scheme, addresses = arguments["scheme"] or "internet-facing", arguments["ip_address_type"]
    for existing in self.load_balancers.values():
        if existing.name == name:
            settings = ({subnet.id for subnet in existing.subnets}, set(existing.security_groups))
            settings += (existing.scheme, existing.ip_address_type)
            if settings == (set(subnets), set(groups), scheme, addresses):
                return existing
            message = f"A load balancer with the same name '{name}' exists, but with different settings"
            raise ELBClientError("DuplicateLoadBalancerName", message)
    arguments.update(security_groups=groups, scheme=scheme)
    if addresses == NO_PUBLIC_IPV4:
        arguments["ip_address_type"] = "dualstack"
    balancer = original(self, **arguments)
    balancer.ip_address_type = addresses
    balancer.attrs = LOAD_BALANCER_ATTRIBUTES | {k: v for k, v in balancer.attrs.items() if "cross_zone" not in k}
    balancer.active_at = time.monotonic() + accounts[self.account_id].provisioning_seconds
    hold_interfaces(self.ec2_backend, balancer)
    return balancer


@replaces(models.FakeLoadBalancer)
def activate(original: Any, self: Any, _arguments: dict[str, Any]) -> None:
    """A load balancer becomes active when its provisioning time is over, not at the first look."""
    if time.monotonic() >= self.active_at:
        original(self)


@replaces(Backend)
def describe_load_balancers(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """One missing name or ARN among several is an error; moto answers with the one before it."""
    wanted = set(arguments["arns"] or []) | set(arguments["names"] or [])
    known = {key for balancer in self.load_balancers.values() for key in (balancer.arn, balancer.name)}
    if wanted - known:
        raise LoadBalancerNotFoundError()
    return original(self, **arguments)


@replaces(Backend)
def delete_load_balancer(original: Any, self: Backend, arguments: dict[str, Any]) -> None:
    """Refused under deletion protection; its network interfaces outlive it for a while."""
    balancer = self.load_balancers.get(arguments["arn"])
    if balancer and balancer.attrs["deletion_protection.enabled"] == "true":
        message = f"Load balancer '{balancer.arn}' cannot be deleted because deletion protection is enabled"
        raise ELBClientError("OperationNotPermitted", message)
    original(self, **arguments)
    if balancer:
        release_interfaces(self.ec2_backend, balancer)


@replaces(Backend)
def set_subnets(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """The network interfaces follow the subnets."""
    zones = original(self, **arguments)
    hold_interfaces(self.ec2_backend, self.load_balancers[arguments["arn"]])
    return zones


@replaces(Backend)
def set_security_groups(original: Any, self: Backend, arguments: dict[str, Any]) -> None:
    """The groups must be of the load balancer's VPC, and its network interfaces carry them."""
    balancer = self.load_balancers.get(arguments["arn"])
    if balancer:
        check_security_groups(self, arguments["sec_groups"], balancer.vpc_id)
    original(self, **arguments)
    hold_interfaces(self.ec2_backend, balancer)


@replaces(Backend)
def set_ip_address_type(original: Any, self: Backend, arguments: dict[str, Any]) -> None:
    """AWS knows a third address type."""
    wanted = arguments["ip_type"]
    if wanted == NO_PUBLIC_IPV4:
        arguments["ip_type"] = "dualstack"
    original(self, **arguments)
    self.load_balancers[arguments["arn"]].ip_address_type = wanted


def check_single(arns: list[str]) -> None:
    if len(arns) != 1:
        raise ELBClientError("ValidationError", "Only one resource can be tagged at a time")


@replaces(Backend)
def add_tags(_original: Any, self: Backend, arguments: dict[str, Any]) -> None:
    """AWS tags one object a call, and allows 50 tags on it, moto 10."""
    check_single(arguments["resource_arns"])
    tags = self.tagging_service.flatten_tag_list(arguments["tags"])
    for arn in arguments["resource_arns"]:
        self._get_resource_by_arn(arn)
        if len(self.tagging_service.get_tag_dict_for_resource(arn) | tags) > 50:
            raise TooManyTagsError()
        self.tagging_service.tag_resource(arn, arguments["tags"])


@replaces(Backend)
def remove_tags(original: Any, self: Backend, arguments: dict[str, Any]) -> None:
    """From one object a call, too."""
    check_single(arguments["resource_arns"])
    original(self, **arguments)


# --- listeners


def check_certificates(backend: Backend, protocol: str, arns: list[str]) -> None:
    """HTTPS needs a certificate, HTTP refuses one; ACM must know it and have issued it."""
    if protocol == "HTTPS" and not arns:
        raise ELBClientError("ValidationError", "A certificate must be specified for HTTPS listeners")
    if protocol == "HTTP" and arns:
        raise ELBClientError("ValidationError", "A certificate cannot be specified for HTTP listeners")
    certificates = acm_backends[backend.account_id][backend.region_name]._certificates
    for arn in arns:
        if ":acm:" not in arn:
            continue
        if arn not in certificates:
            raise ELBClientError("CertificateNotFound", f"Certificate '{arn}' not found")
        if certificates[arn].status != "ISSUED":
            message = f"The certificate '{arn}' must have a fully-qualified domain name, a supported signature, "
            raise ELBClientError("UnsupportedCertificate", message + "and a supported key size.")


@replaces(AWSCertificateManagerBackend)
def delete_certificate(original: Any, self: AWSCertificateManagerBackend, arguments: dict[str, Any]) -> None:
    """Refused as long as a listener has the certificate, as its default one or in its list."""
    arn = arguments["arn"]
    for balancer in models.elbv2_backends[self.account_id][self.region_name].load_balancers.values():
        if any(arn in listener.certificates for listener in balancer.listeners.values()):
            raise AWSError(f"Certificate {arn} is in use.", "ResourceInUseException")
    original(self, **arguments)


def check_port(balancer: Any, port: Any, but: Any = None) -> None:
    for listener in balancer.listeners.values():
        if listener is not but and str(listener.port) == str(port):
            message = "A listener already exists on this port for this load balancer"
            raise ELBClientError("DuplicateListener", f"{message} '{balancer.arn}'")


def check_association(backend: Backend, balancer_arn: str, actions: list[Any]) -> None:
    """A target group serves one load balancer."""
    for arn in group_arns(actions):
        if any(other.arn != balancer_arn for other in balancers_using(backend, arn)):
            message = f"The following target groups cannot be associated with more than one load balancer: {arn}"
            raise ELBClientError("TargetGroupAssociationLimit", message)


def check_stickiness(backend: Backend, actions: list[dict[str, Any]]) -> None:
    """Where one of several target groups keeps its clients the action must keep them in a group, too."""
    for action in actions:
        groups = [backend.target_groups[arn] for arn in group_arns([action])]
        sticky = any(group.attributes["stickiness.enabled"] == "true" for group in groups)
        kept = action.get("ForwardConfig", {}).get("TargetGroupStickinessConfig", {}).get("Enabled", False)
        if len(groups) > 1 and sticky and str(kept).lower() != "true":
            message = "You must enable group stickiness on a rule if you enabled target stickiness on one of its "
            raise ELBClientError("InvalidLoadBalancerAction", message + "target groups")


@replaces(Backend)
def create_listener(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """The same port with the same settings answers with what exists, other settings are an error."""
    balancer = self.load_balancers.get(arguments["load_balancer_arn"])
    if balancer is None:
        raise LoadBalancerNotFoundError()
    secure = arguments["protocol"] == "HTTPS"
    certificate, actions = arguments["certificate"], arguments["actions"]
    arguments["ssl_policy"] = arguments["ssl_policy"] if secure else None
    check_certificates(self, arguments["protocol"], [certificate] if certificate else [])
    if secure and arguments["ssl_policy"] not in responses.SSL_POLICIES:
        raise ELBClientError("SSLPolicyNotFound", f"SSL policy '{arguments['ssl_policy']}' not found")
    for existing in balancer.listeners.values():
        settings = (str(existing.port), existing.protocol, existing.ssl_policy, existing.certificate)
        wanted = (str(arguments["port"]), arguments["protocol"], arguments["ssl_policy"], certificate)
        if settings == wanted and group_arns(existing.default_actions) == group_arns(actions):
            return existing
    check_port(balancer, arguments["port"])
    check_association(self, balancer.arn, actions)
    return original(self, **arguments)


@replaces(Backend)
def modify_listener(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """Checks as at creation. A new default certificate leaves the SNI list alone; HTTP drops all that is TLS."""
    listener = self.describe_listeners(None, [arguments["arn"]])[0]
    balancer = self.load_balancers[listener.load_balancer_arn]
    protocol = arguments["protocol"] or listener.protocol
    given = [certificate["CertificateArn"] for certificate in arguments["certificates"] or []]
    check_certificates(self, protocol, given or (listener.certificates if protocol == "HTTPS" else []))
    if arguments["port"] is not None:
        check_port(balancer, arguments["port"], but=listener)
    self._validate_actions([models.FakeAction(action) for action in arguments["actions"] or []])
    check_association(self, balancer.arn, arguments["actions"] or [])
    check_stickiness(self, arguments["actions"] or [])
    extra = listener.certificates[1:]
    original(self, **arguments)
    if protocol == "HTTP":
        listener.certificate, listener.certificates, listener.ssl_policy = None, [], None
    else:
        listener.certificates = [listener.certificate, *extra]
        listener.ssl_policy = listener.ssl_policy or "ELBSecurityPolicy-2016-08"
    return listener


@replaces(responses.ELBV2Response)
def modify_listener(original: Any, self: responses.ELBV2Response, _arguments: dict[str, Any]) -> Any:
    """An HTTPS listener may ask clients for certificates; moto does not read that."""
    answer = original(self)
    asked = self._get_param("MutualAuthentication")
    if asked:
        listener = self.elbv2_backend.describe_listeners(None, [self._get_param("ListenerArn")])[0]
        listener.authentication = asked
    return answer


models.FakeListener.mutual_authentication = property(
    lambda listener: getattr(listener, "authentication", {"Mode": "off"}) if listener.protocol == "HTTPS" else None
)


@replaces(Backend)
def describe_listeners(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """One missing ARN among several is an error."""
    found = original(self, **arguments)
    if not arguments["load_balancer_arn"] and len(found) < len(arguments["listener_arns"]):
        raise ListenerNotFoundError()
    return found


@replaces(Backend)
def add_listener_certificates(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """Adding a certificate that is in the list changes nothing; the default one is not in the list by itself."""
    listener = self.describe_listeners(None, [arguments["arn"]])[0]
    check_certificates(self, listener.protocol, [item["CertificateArn"] for item in arguments["certificates"]])
    new = [item for item in arguments["certificates"] if item["CertificateArn"] not in listener.certificates[1:]]
    return original(self, arguments["arn"], new)


@replaces(Backend)
def remove_listener_certificates(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """Removes from the list only: the default certificate stays, even when it is in the list, too."""
    listener = self.describe_listeners(None, [arguments["arn"]])[0]
    gone = [item["CertificateArn"] for item in arguments["certificates"]]
    default, extra = listener.certificates[:1], listener.certificates[1:]
    listener.certificates = default + [arn for arn in extra if arn not in gone]


@replaces(Backend)
def create_rule(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    listener = self.describe_listeners(None, [arguments["listener_arn"]])[0]
    check_association(self, listener.load_balancer_arn, arguments["actions"])
    return original(self, **arguments)


# A listener shows its default certificate alone; DescribeListenerCertificates shows the others.
for operation in ("CreateListener", "DescribeListeners", "ModifyListener"):
    responses.ELBV2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER[f"{operation}Output.Listeners.Listener.Certificates"] = (
        lambda arns: responses.transform_certificates(arns[:1])
    )


# --- target groups


@replaces(Backend)
def create_target_group(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """The same name with the same settings answers with what exists, tags unread."""
    name = arguments["name"]
    twin = next((group for group in self.target_groups.values() if group.name == name), None)
    if twin:
        del self.target_groups[twin.arn]
    try:
        group = original(self, **arguments)
    finally:
        if twin:
            self.target_groups[twin.arn] = twin
    if twin:
        del self.target_groups[group.arn]
        ignored = {"arn", "attributes", "targets", "deregistered_targets", "terminated_targets", "describes"}
        settings = [{k: str(v) for k, v in vars(g).items() if k not in ignored} for g in (group, twin)]
        if settings[0] == settings[1]:
            return twin
        message = f"A target group with the same name '{name}' exists, but with different settings"
        raise ELBClientError("DuplicateTargetGroupName", message)
    group.attributes = TARGET_GROUP_ATTRIBUTES | group.attributes
    return group


# Which load balancers refer to a group follows from their listeners; moto keeps a list that only CreateListener feeds.
models.FakeTargetGroup.load_balancer_arns = property(
    lambda group: [
        balancer.arn
        for balancer in balancers_using(models.elbv2_backends[group.account_id][group.region_name], group.arn)
    ],
    lambda group, arns: None,
)


# --- targets


def status(group: Any, target: dict[str, Any], state: str, reason: str | None = None, text: str | None = None) -> Any:
    port = target.get("Port", group.port)
    return models.FakeHealthStatus(target["Id"], port, group.health_check_port, state, reason, text)


def passed_describes(group: Any, target_id: str, event: str, limit: int) -> bool:
    """Counts a describe of this target since the event; true when there were more than `limit`."""
    seen = vars(group).setdefault("describes", {})
    seen[target_id, event] = seen.get((target_id, event), 0) + 1
    return seen[target_id, event] > limit


@replaces(models.FakeTargetGroup)
def register(original: Any, self: Any, arguments: dict[str, Any]) -> None:
    """Only instances of the group's VPC can be registered, and a new registration is checked anew."""
    for target in arguments["targets"]:
        instance = self.ec2_backend.get_instance_by_id(target["Id"])
        if self.target_type == "instance" and (instance is None or instance.vpc_id != self.vpc_id):
            raise ELBClientError("InvalidTarget", f"The following targets are not valid: '{target['Id']}'")
        if target["Id"] not in self.targets:
            seen = vars(self).get("describes", {})
            for event in ("initial", "draining"):
                seen.pop((target["Id"], event), None)
    known = self.deregistered_targets | self.targets
    original(self, **arguments)
    for target in arguments["targets"]:
        registered, before = self.targets[target["Id"]], known.get(target["Id"])
        same = before is not None and str(before["Port"]) == str(registered["Port"])
        registered["Registration"] = before["Registration"] if same else next(REGISTRATIONS)


@replaces(models.FakeTargetGroup)
def deregister(original: Any, self: Any, arguments: dict[str, Any]) -> None:
    """Deregistering what is not registered is no error. Only a target that was in use has connections to drain: a
    data plane knows which were, without one those count whose group is in use now.

    moto knows one registration of an instance, the last: one on another port is gone by then.
    """

    def is_known(target: dict[str, Any]) -> bool:
        registered = self.targets.get(target["Id"])
        return registered is not None and int(registered["Port"]) == int(target.get("Port", self.port))

    known = [target for target in arguments["targets"] if is_known(target)]
    original(self, known)
    if accounts[self.account_id].target_states is None and not self.load_balancer_arns:
        for target in known:
            del self.deregistered_targets[target["Id"]]


def unused(group: Any, target_id: str) -> str | None:
    """Why a registered target gets neither requests nor health checks; `None` when it does."""
    balancers = balancers_using(models.elbv2_backends[group.account_id][group.region_name], group.arn)
    if not balancers:
        return "Target group is not configured to receive traffic from the load balancer"
    instance = group.ec2_backend.get_instance_by_id(target_id)
    zones = {subnet.availability_zone for balancer in balancers for subnet in balancer.subnets}
    if instance and instance.placement.zone not in zones:
        return "Target is in an Availability Zone that is not enabled for the load balancer"
    return None


def drains(group: Any, target_id: str, settings: Any) -> bool:
    """Whether a deregistered target has connections left. A data plane says when it has none, see `exchange`."""
    if settings.target_states is not None:
        return True
    return not passed_describes(group, target_id, "draining", settings.draining_describes)


@replaces(models.FakeTargetGroup)
def health_for(original: Any, self: Any, arguments: dict[str, Any]) -> Any:
    """A target is checked once a load balancer in its zone refers to the group, and not healthy at once."""
    target, settings = arguments["target"], accounts[self.account_id]
    target_id = target["Id"]
    if target_id in self.deregistered_targets and target_id not in self.targets:
        if drains(self, target_id, settings):
            text = "Target deregistration is in progress"
            return status(self, target, "draining", "Target.DeregistrationInProgress", text)
        del self.deregistered_targets[target_id]
    health = original(self, **arguments)
    if health.status != "healthy":
        return health
    registered = self.targets[target_id]
    text = unused(self, target_id)
    if text:
        return status(self, registered, "unused", "Target.NotInUse", text)
    initial = ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
    if settings.target_states is not None:
        said = settings.target_states.get(str(registered["Registration"]))
        return status(self, registered, *(said or initial))
    if not passed_describes(self, target_id, "initial", settings.initial_describes):
        return status(self, registered, *initial)
    forced = settings.health.get(f"{target_id}:{registered['Port']}") or settings.health.get(target_id)
    if forced:
        return status(self, registered, forced["state"], forced.get("reason"), forced.get("description"))
    return health


@replaces(Backend)
def describe_target_health(_original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """Without a list of targets, those that still drain are shown with the registered ones."""
    group = self.target_groups.get(arguments["target_group_arn"])
    if group is None:
        raise TargetGroupNotFoundError()
    registered = list(group.targets.values())
    targets = arguments["targets"] or registered + list(group.deregistered_targets.values())
    health = [group.health_for(target, self.ec2_backend) for target in targets]
    return health if arguments["targets"] else [one for one in health if one.reason != "Target.NotRegistered"]


@replaces(
    Backend,
    *("create_load_balancer", "delete_load_balancer", "create_listener", "modify_listener", "delete_listener"),
    *("create_rule", "modify_rule", "delete_rule"),
)
def forget_users(original: Any, self: Backend, arguments: dict[str, Any]) -> Any:
    """Which load balancers refer to which target groups may be different afterwards."""
    try:
        return original(self, **arguments)
    finally:
        self.users = None


# Asked for each group that is deleted; moto goes through all listeners.
Backend._any_listener_using = lambda self, target_group_arn: bool(balancers_using(self, target_group_arn))
