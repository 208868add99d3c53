"""ElastiCache as AWS has it: deletions that end, subnet groups and replicas that change, members that are described."""

from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.elasticache.exceptions import (
    CacheSubnetGroupNotFound,
    InvalidParameterCombinationException,
    ReplicationGroupNotFound,
)
from moto.elasticache.models import CacheSubnetGroup, ElastiCacheBackend
from moto.elasticache.responses import ElastiCacheResponse

from .settings import accounts, replaces


class CacheSubnetGroupInUse(ServiceException):
    """AWS's refusal to delete a subnet group that a cache still uses."""

    code = "CacheSubnetGroupInUse"


class NoOperation(ServiceException):
    """AWS's refusal to set as many replicas as there are."""

    code = "NoOperationFault"


def finish_deletions(backend: ElastiCacheBackend, store: dict[str, Any], status: str) -> None:
    """Removes what was deleted and has been described as `deleting` often enough; moto keeps it for ever."""
    for name, item in list(store.items()):
        if getattr(item, status) == "deleting":
            item.describes = getattr(item, "describes", 0) + 1
            if item.describes > accounts[backend.account_id].deleting_describes:
                del store[name]


def engine_version(group: Any) -> str:
    """The version of a replication group; moto chooses none where none was asked for."""
    return getattr(group, "engine_version", None) or "7.1.0"


def minor(version: str) -> list[int]:
    """Major and minor version, to compare."""
    return [int(part) for part in version.split(".")[:2]]


@replaces(ElastiCacheBackend)
def describe_replication_groups(original: Any, self: ElastiCacheBackend, arguments: dict[str, Any]) -> Any:
    finish_deletions(self, self.replication_groups, "status")
    return original(self, **arguments)


@replaces(ElastiCacheBackend)
def describe_cache_clusters(original: Any, self: ElastiCacheBackend, arguments: dict[str, Any]) -> Any:
    """The members of a replication group are clusters, too."""
    finish_deletions(self, self.cache_clusters, "cache_cluster_status")
    wanted = arguments["cache_cluster_id"]
    for group in self.replication_groups.values():
        if wanted in group.member_clusters:
            groups = [{"SecurityGroupId": name, "Status": "active"} for name in group.security_group_ids or []]
            return [
                {
                    "CacheClusterId": wanted,
                    "CacheClusterStatus": group.status,
                    "EngineVersion": engine_version(group),
                    "CacheParameterGroup": {"CacheParameterGroupName": group.cache_parameter_group_name},
                    "CacheSubnetGroupName": group.cache_subnet_group_name,
                    "SecurityGroups": groups,
                }
            ]
    return original(self, **arguments)


def delete_cache_subnet_group(self: ElastiCacheResponse) -> EmptyResult:
    """An operation that moto does not have."""
    name, backend = self._get_param("CacheSubnetGroupName"), self.elasticache_backend
    if name not in backend.cache_subnet_groups:
        raise CacheSubnetGroupNotFound(name)
    users = [*backend.replication_groups.values(), *backend.cache_clusters.values()]
    if any(user.cache_subnet_group_name == name for user in users):
        raise CacheSubnetGroupInUse(f"Cache subnet group {name} is currently in use by a cache cluster.")
    del backend.cache_subnet_groups[name]
    return EmptyResult()


ElastiCacheResponse.delete_cache_subnet_group = delete_cache_subnet_group


def modify_cache_subnet_group(self: ElastiCacheResponse) -> ActionResult:
    """An operation that moto does not have."""
    name, backend = self._get_param("CacheSubnetGroupName"), self.elasticache_backend
    if name not in backend.cache_subnet_groups:
        raise CacheSubnetGroupNotFound(name)
    group = backend.cache_subnet_groups[name]
    fresh = CacheSubnetGroup(
        backend.account_id,
        backend.region_name,
        name,
        group.cache_subnet_group_description,
        self._get_param("SubnetIds", []),
        [],
    )
    group.subnet_ids, group.subnets = fresh.subnet_ids, fresh.subnets
    return ActionResult({"CacheSubnetGroup": group})


def set_replica_count(self: ElastiCacheResponse) -> ActionResult:
    """Two operations that moto does not have: more replicas, and fewer."""
    name, backend = self._get_param("ReplicationGroupId"), self.elasticache_backend
    if name not in backend.replication_groups:
        raise ReplicationGroupNotFound(name)
    group, count = backend.replication_groups[name], self._get_int_param("NewReplicaCount")
    if count + 1 == len(group.member_clusters):
        raise NoOperation(f"{name} has {count} replicas already.")
    group.member_clusters = [f"{name}-{number + 1:0>3}" for number in range(count + 1)]
    return ActionResult({"ReplicationGroup": group})


@replaces(ElastiCacheResponse)
def modify_replication_group(original: Any, self: ElastiCacheResponse, _arguments: dict[str, Any]) -> Any:
    """moto forgets the version, the security groups, the parameter group and the encryption in transit."""
    name, wanted = self._get_param("ReplicationGroupId"), self._get_param("EngineVersion")
    there = self.elasticache_backend.replication_groups.get(name)
    if there is not None and wanted and minor(wanted) < minor(engine_version(there)):
        raise InvalidParameterCombinationException("A cache cannot be taken back to an earlier version.")
    answer = original(self)
    group = self.elasticache_backend.replication_groups[name]
    group.engine_version = wanted or getattr(group, "engine_version", None)
    group.security_group_ids = self._get_param("SecurityGroupIds", []) or group.security_group_ids
    parameters = self._get_param("CacheParameterGroupName")
    group.cache_parameter_group_name = parameters or group.cache_parameter_group_name
    encrypted = self._get_bool_param("TransitEncryptionEnabled")
    if encrypted is not None:
        set_transit_encryption(group, self._get_param("TransitEncryptionMode") if encrypted else None)
    return answer


def set_transit_encryption(group: Any, wanted: str | None) -> None:
    """Encryption in transit comes and goes in two steps, with `preferred` between them."""
    there = group.transit_encryption_mode or "required" if group.transit_encryption_enabled else None
    if there != wanted and "preferred" not in (there, wanted):
        raise InvalidParameterCombinationException("The transit encryption mode must be preferred first.")
    group.transit_encryption_enabled, group.transit_encryption_mode = wanted is not None, wanted


ElastiCacheResponse.modify_cache_subnet_group = modify_cache_subnet_group
ElastiCacheResponse.increase_replica_count = set_replica_count
ElastiCacheResponse.decrease_replica_count = set_replica_count
