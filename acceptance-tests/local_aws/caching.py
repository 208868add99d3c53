"""ElastiCache as AWS has it: deletions that end, and subnet groups that can be deleted."""

from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import EmptyResult
from moto.elasticache.exceptions import CacheSubnetGroupNotFound
from moto.elasticache.models import ElastiCacheBackend
from moto.elasticache.responses import ElastiCacheResponse

from .settings import accounts, replaces


class CacheSubnetGroupInUse(ServiceException):
    """AWS's refusal to delete a subnet group that a cache still uses."""

    code = "CacheSubnetGroupInUse"


def finish_deletions(backend: ElastiCacheBackend, store: dict[str, Any], status: str) -> None:
    """Removes what was deleted and has been described as `deleting` often enough; moto keeps it for ever."""
    for name, item in list(store.items()):
        if getattr(item, status) == "deleting":
            item.describes = getattr(item, "describes", 0) + 1
            if item.describes > accounts[backend.account_id].deleting_describes:
                del store[name]


@replaces(ElastiCacheBackend)
def describe_replication_groups(original: Any, self: ElastiCacheBackend, arguments: dict[str, Any]) -> Any:
    finish_deletions(self, self.replication_groups, "status")
    return original(self, **arguments)


@replaces(ElastiCacheBackend)
def describe_cache_clusters(original: Any, self: ElastiCacheBackend, arguments: dict[str, Any]) -> Any:
    finish_deletions(self, self.cache_clusters, "cache_cluster_status")
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
