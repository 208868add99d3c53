"""EC2 instances as AWS has them: a client token launches once, and user data has a limit."""

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend

from .settings import replaces

USER_DATA_LIMIT = 16 * 1024
# What moto calls a request without a token.
NO_TOKEN = "ABCDE"


@replaces(EC2Backend)
def run_instances(original: Any, self: EC2Backend, arguments: dict[str, Any]) -> Any:
    """A second call with the token of a first one answers with what that has launched."""
    launched = self.__dict__.setdefault("reservations_by_token", {})
    token = arguments.get("client_token", NO_TOKEN)
    if token in launched:
        return launched[token]
    data = arguments["user_data"]
    if data is not None and len(data.as_bytes()) > USER_DATA_LIMIT:
        raise EC2ClientError("InvalidParameterValue", "User data is limited to 16384 bytes")
    reservation = original(self, **arguments)
    if token != NO_TOKEN:
        launched[token] = reservation
    return reservation
