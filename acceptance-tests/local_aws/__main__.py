"""Starts the server and then answers its parent, line by line, until standard input ends.

The first line written is `{"port": n}`. After that every line read is a JSON object with an `account` and either
`service`, `operation` and `params` (one AWS call, as boto3 spells it), `configure` (see `settings.Settings`),
`data_plane` (see `data_plane.exchange`), `seed` or `processor_seconds`; every line written is `{"ok": answer}` or
`{"error": {"code", "message"}}`. An account is any twelve digits: over HTTP, the header `x-moto-account-id` chooses it.
When the parent dies, standard input ends and so do we.
"""

import json
import logging
import os
import sys
import threading
import time
from functools import cache
from typing import Any, Callable

# Read by moto when it is imported: unknown images and instance types are errors, and no certificate validates itself.
os.environ["MOTO_ENABLE_AMI_VALIDATION"] = "true"
os.environ["MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION"] = "true"
os.environ["MOTO_ACM_VALIDATION_WAIT"] = str(10**9)

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import backends
from moto.core import responses
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from . import (  # noqa: F401  (some of them change moto)
    caching,
    data_plane,
    instances,
    load_balancing,
    network,
    seed,
    settings,
    tags,
)


class OneAtATime:
    """Keeps requests and the data plane apart in moto: its backends are plain dictionaries without locks."""

    def __init__(self, application: Callable[..., Any]):
        self.application, self.lock = application, threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        with self.lock:
            return self.application(environ, start_response)


class Handler(MotoRequestHandler):
    """Keeps no log of requests: formatting its lines takes a good part of the time that an answer takes."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Caller:
    """Makes AWS calls to this server in the account of the request at hand."""

    def __init__(self, endpoint: str, moto: threading.Lock):
        self.endpoint, self.moto, self.account, self.clients = endpoint, moto, "", {}

    def client(self, service: str) -> Any:
        if service not in self.clients:
            client = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name=seed.REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}, parameter_validation=True),
            )
            client.meta.events.register("before-call", self.choose_account)
            self.clients[service] = client
        return self.clients[service]

    def choose_account(self, params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-moto-account-id"] = self.account

    def answer(self, request: dict[str, Any]) -> Any:
        self.account = request["account"]
        if "configure" in request:
            return settings.accounts[self.account].update(request["configure"])
        if "data_plane" in request:
            with self.moto:
                return data_plane.exchange(self.account, request["data_plane"])
        if "seed" in request:
            return seed.seed(self.client, self.account)
        if "processor_seconds" in request:
            return time.process_time()
        operation = getattr(self.client(request["service"]), request["operation"])
        result = operation(**request["params"])
        result.pop("ResponseMetadata", None)
        return result


def remember_what_stays() -> None:
    """For each request moto would list its own directory and inspect a class, which is much of what an answer takes."""
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
    responses.method_names_from_class = cache(responses.method_names_from_class)


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    remember_what_stays()
    application = OneAtATime(DomainDispatcherApplication(create_backend_app))
    # How many connections may wait: more than all tests make at once. Each one too many is made again a second later.
    BaseWSGIServer.request_queue_size = 1024
    # One thread for all requests: with more of them they only wait for one another, which takes longer.
    server = make_server("127.0.0.1", 0, application, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    caller = Caller(f"http://127.0.0.1:{server.server_port}", application.lock)
    # Whatever a library prints must not end up among the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps({"port": server.server_port}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            reply = {"ok": caller.answer(json.loads(line))}
        except ClientError as error:
            reply = {"error": {"code": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}}
        except Exception as error:  # The parent is to see any mistake in its request, not a dead process.
            reply = {"error": {"code": type(error).__name__, "message": str(error)}}
        print(json.dumps(reply, default=str), file=answers, flush=True)


if __name__ == "__main__":
    main()
