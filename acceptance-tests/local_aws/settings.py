"""What a test may choose about the AWS account it works in: how long things take, and which targets are ill."""

from collections import defaultdict
from dataclasses import dataclass, field, fields
from functools import wraps
from inspect import signature
from typing import Any, Callable


@dataclass
class Settings:
    """The behaviour of one account. Counts are numbers of describe calls, so that no test has to sleep."""

    # How long a new load balancer stays `provisioning`. With 0 the first describe finds it active.
    provisioning_seconds: float = 0
    # How many DescribeTargetHealth calls find a new target `initial` before it is healthy.
    initial_describes: int = 1
    # How many DescribeTargetHealth calls still find a deregistered target `draining`.
    draining_describes: int = 1
    # How long the network interfaces of a deleted load balancer keep its security groups in use.
    interface_release_seconds: float = 0
    # How many describes still find a deleted ElastiCache object `deleting`.
    deleting_describes: int = 1
    # `i-...` or `i-...:port` -> {"state", "reason", "description"}: what a registered target reports once checked.
    health: dict[str, dict[str, str]] = field(default_factory=dict)
    # Once a data plane serves the account: the number of a registration -> (state, reason, description), in place of
    # all the settings above that concern targets.
    target_states: dict[str, tuple[str, str | None, str | None]] | None = None

    def update(self, values: dict[str, Any]) -> None:
        """Sets the named fields; a name that is no setting is an error."""
        unknown = values.keys() - {known.name for known in fields(self)}
        if unknown:
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
        for name, value in values.items():
            setattr(self, name, value)


# By account id; an account nobody configured behaves like AWS on a quick day.
accounts: defaultdict[str, Settings] = defaultdict(Settings)


def replaces(owner: type, *names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Puts the decorated function in place of `owner`'s methods of these names, or else of the function's own name. It
    is called as `function(original, self, arguments)`, with the arguments by name, however the caller passed them."""

    def install(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names or [function.__name__]:
            replace(owner, name, function)
        return function

    return install


def replace(owner: type, name: str, function: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    parameters = signature(original)

    @wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = parameters.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        arguments.pop("self")
        arguments.update(arguments.pop("kwargs", {}))
        return function(original, self, arguments)

    setattr(owner, name, method)
