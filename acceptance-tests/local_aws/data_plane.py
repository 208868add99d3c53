"""What a data plane has to know of an account: what listens where, and who is behind it; from moto's own objects."""

import time
from typing import Any

from moto.acm.models import acm_backends
from moto.elbv2.models import elbv2_backends

from .load_balancing import group_arns, unused
from .seed import REGION
from .settings import accounts


def exchange(account: str, report: dict[str, Any]) -> dict[str, Any]:
    """Takes what the data plane says of registrations, by their numbers: the `states` of those it checks, and which
    have `drained`. From then on DescribeTargetHealth answers with that. Returns what is to be served."""
    backend = elbv2_backends[account][REGION]
    accounts[account].target_states = report["states"]
    for group in backend.target_groups.values():
        for target_id, target in list(group.deregistered_targets.items()):
            if target["Registration"] in report["drained"]:
                del group.deregistered_targets[target_id]
    certificates = acm_backends[account][REGION]._certificates
    return {
        "listeners": [
            listener_of(backend, balancer, listener)
            for balancer in backend.load_balancers.values()
            if time.monotonic() >= balancer.active_at
            for listener in balancer.listeners.values()
        ],
        "groups": {group.arn: group_of(group) for group in backend.target_groups.values()},
        "certificates": {
            arn: sorted({certificate.common_name, *certificate.sans}) for arn, certificate in certificates.items()
        },
    }


def listener_of(backend: Any, balancer: Any, listener: Any) -> dict[str, Any]:
    port = int(listener.port)
    return {
        "balancer": balancer.name,
        "port": port,
        "certificates": listener.certificates,
        "sources": sources(backend.ec2_backend, balancer.security_groups, port),
        "idle_timeout": int(balancer.attrs["idle_timeout.timeout_seconds"]),
        "action": action(listener.default_actions[-1]),
    }


def action(last: Any) -> dict[str, Any]:
    """The one action of a listener that answers; those before it authenticate."""
    data = getattr(last, "data", last)
    if data["Type"] != "forward":
        return {data["Type"]: data.get("RedirectConfig")}
    weighted = data.get("ForwardConfig", {}).get("TargetGroups", [])
    weights = {group["TargetGroupArn"]: int(group["Weight"]) for group in weighted}
    return {"forward": weights or {arn: 1 for arn in group_arns([last])}}


def sources(ec2: Any, group_ids: list[str], port: int) -> list[str]:
    """The address blocks that the security groups let in on a TCP port."""
    rules = [rule for group_id in group_ids for rule in ec2.get_security_group_from_id(group_id).ingress_rules]
    open_rules = [
        rule
        for rule in rules
        if rule.ip_protocol == "-1" or (rule.ip_protocol == "tcp" and rule.from_port <= port <= rule.to_port)
    ]
    blocks = {rule.ip_range.get("CidrIp") or rule.ip_range.get("CidrIpv6") for rule in open_rules}
    return sorted(block for block in blocks if block)


def group_of(group: Any) -> dict[str, Any]:
    attributes = {key: str(value) for key, value in group.attributes.items()}
    sticky = attributes["stickiness.enabled"] == "true"
    return {
        "name": group.name,
        "protocol": group.protocol,
        "deregistration_delay": int(attributes["deregistration_delay.timeout_seconds"]),
        "least_outstanding": attributes["load_balancing.algorithm.type"] == "least_outstanding_requests",
        "stickiness": attributes["stickiness.type"] if sticky else None,
        "app_cookie": attributes["stickiness.app_cookie.cookie_name"],
        "lb_cookie_seconds": int(attributes["stickiness.lb_cookie.duration_seconds"]),
        "check": {
            "protocol": group.health_check_protocol,
            "port": None if group.health_check_port == "traffic-port" else int(group.health_check_port),
            "path": group.health_check_path or "/",
            "matcher": group.matcher["HttpCode"],
            "interval": int(group.health_check_interval_seconds),
            "timeout": int(group.health_check_timeout_seconds),
            "healthy": int(group.healthy_threshold_count),
            "unhealthy": int(group.unhealthy_threshold_count),
        },
        "targets": [
            *(target_of(one, "unused" if unused(group, one["Id"]) else "used") for one in group.targets.values()),
            *(target_of(one, "draining") for one in group.deregistered_targets.values()),
        ],
    }


def target_of(target: dict[str, Any], state: str) -> dict[str, Any]:
    return {
        "registration": target["Registration"],
        "instance": target["Id"],
        "port": int(target["Port"]),
        "state": state,
    }
