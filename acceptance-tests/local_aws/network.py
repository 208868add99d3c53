"""EC2 networking as AWS has it: what still uses a security group, and the network interfaces of load balancers."""

import time
from typing import Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import EC2Backend

from .settings import accounts, replaces


def hold_interfaces(backend: EC2Backend, balancer: Any) -> None:
    """Gives the load balancer one network interface in each of its subnets, with its security groups."""
    remove_interfaces(backend, balancer)
    for subnet in balancer.subnets:
        description = f"ELB {balancer.arn.split(':loadbalancer/')[1]}"
        interface = backend.create_network_interface(
            subnet, [], group_ids=balancer.security_groups, description=description
        )
        interface.requester_managed, interface.requester_id, interface.status = True, "amazon-elb", "in-use"
        interface.load_balancer_arn, interface.gone_at = balancer.arn, None


def remove_interfaces(backend: EC2Backend, balancer: Any) -> None:
    for interface in list(backend.enis.values()):
        if getattr(interface, "load_balancer_arn", None) == balancer.arn:
            del backend.enis[interface.id]


def release_interfaces(backend: EC2Backend, balancer: Any) -> None:
    """Lets the interfaces of a deleted load balancer go after the account's release time."""
    gone_at = time.monotonic() + accounts[backend.account_id].interface_release_seconds
    for interface in backend.enis.values():
        if getattr(interface, "load_balancer_arn", None) == balancer.arn:
            interface.gone_at = gone_at
    drop_released(backend)


def drop_released(backend: EC2Backend) -> None:
    """Those of load balancers that are gone for long enough, and those of terminated instances."""
    for interface in list(backend.enis.values()):
        gone_at = getattr(interface, "gone_at", None)
        released = gone_at is not None and time.monotonic() >= gone_at
        if released or interface.instance and interface.instance.state == "terminated":
            del backend.enis[interface.id]


@replaces(EC2Backend)
def get_all_network_interfaces(original: Any, self: EC2Backend, arguments: dict[str, Any]) -> Any:
    drop_released(self)
    return original(self, **arguments)


@replaces(EC2Backend)
def create_security_group(original: Any, self: EC2Backend, arguments: dict[str, Any]) -> Any:
    """The VPC must exist."""
    if arguments["vpc_id"]:
        self.get_vpc(arguments["vpc_id"])
    return original(self, **arguments)


@replaces(EC2Backend)
def delete_security_group(original: Any, self: EC2Backend, arguments: dict[str, Any]) -> None:
    """A group that an interface carries or another group's rule names cannot be deleted."""
    group_id = arguments["group_id"]
    drop_released(self)
    carried = any(
        group_id in [group.id for group in interface.group_set]
        for interface in self.enis.values()
    )
    named = any(
        rule.source_group and rule.source_group.get("GroupId") == group_id
        for groups in self.groups.values()
        for group in groups.values()
        if group.id != group_id
        for rule in group.ingress_rules + group.egress_rules
    )
    if carried or named:
        raise DependencyViolationError(f"resource {group_id} has a dependent object")
    original(self, **arguments)
