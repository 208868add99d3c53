"""The tags of EC2 objects, found in a time that does not grow with the account."""

from typing import Any

from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from .settings import replaces


@replaces(TaggedEC2Resource)
def get_tags(_original: Any, self: TaggedEC2Resource, _arguments: dict[str, Any]) -> list[dict[str, str]]:
    """moto goes through the tags of everything in the account for each object that it shows."""
    tags = self.ec2_backend.tags.get(self.id, {})
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "") if tags else ""
    return [
        {"resource_id": self.id, "key": key, "value": value, "resource_type": kind} for key, value in tags.items()
    ]
