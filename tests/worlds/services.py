"""A venue whose services the test starts itself: a store, an engine and a gateway, each in a process of its own.

The engine is the reference by default, so that the gateway is tested against the specification. A test may kill each
of them and start it again. `venue.py` has the venue as its users start it, by `jibek up`.
"""

from __future__ import annotations

from engine.journal import Producer, ensure_functions, library_code, start_venue
from engine.process.watermarks import begin_watermarks
from engine.records import BatchBuilder, EventEntry
from gateway.auth.secrets import SECRETS_KEY, create_secret_key, seal
from tests.worlds.accounts import HmacKey, OperatedVenue
from tests.worlds.clients import Client
from tests.worlds.definition import world_venue
from tests.worlds.processes import ServiceProcess
from tests.worlds.store import StoreProcess

NEVER_BANS = ("--failures-max", "1000000000")


class ServiceVenue(OperatedVenue):
    """A venue that runs once constructed, until `close`.

    Args:
        gateway_options: further arguments of the gateway.
        maxmemory: of the store, as its own setting has it.
        engine: "reference" or "compiled".
    """

    def __init__(self, *gateway_options: str, maxmemory: str = "512mb", engine: str = "reference") -> None:
        super().__init__()
        self.store = StoreProcess(maxmemory)
        self.client = self.store.client()
        self.data = self.store.folder
        self.secret_key = create_secret_key(self.data)
        self.gateway_options = gateway_options
        self.engine = engine
        self.processes: dict[str, ServiceProcess] = {}
        try:
            ensure_functions(self.client, "jibek_journal", library_code("engine.journal", "journal.lua"))
            begin_watermarks(self.data)
            start_venue(self.client)
            self.start_engine()
            self.operator = Producer(self.client)
            for builder in world_venue().batches("test"):
                self.operate(builder)
            self.start_gateway()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        self.client.close()
        self.store.remove()

    # -- its services

    def start_engine(self) -> None:
        self.processes["engine"] = self.start("engine", "engine.service", "--engine", self.engine)

    def start_gateway(self, port: int = 0) -> None:
        """Starts the gateway on this port; 0 lets the system choose one. It bans only if its options say so: most tests share
        an address, and many send what fails."""
        options = (*NEVER_BANS, *self.gateway_options)
        gateway = self.start("gateway", "gateway.service", "--port", str(port), *options)
        self.processes["gateway"] = gateway
        self.port: int = gateway.ready["port"]

    def start(self, name: str, module: str, *arguments: str) -> ServiceProcess:
        """Starts a service on the venue's store and data folder. The caller ends it."""
        places = ("--store", self.store.url, "--data", str(self.data))
        return ServiceProcess(self.data, name, module, *places, *arguments)

    # -- what an operator does

    def operate(self, builder: BatchBuilder) -> EventEntry:
        _, entry = self.operator.execute(builder)
        return entry

    def keep_secret(self, key: HmacKey) -> None:
        self.client.hset(SECRETS_KEY, key.id, seal(self.secret_key, key.id, key.secret.encode()))

    # -- what clients do

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def api(self, query: str = "") -> Client:
        """A client of the request API, not logged on."""
        return Client(self.url(f"/ws-api/v3{query}"))

    def stream(self, path: str) -> Client:
        """A client that listens to streams."""
        return Client(self.url(path))

    def trader(self, **deposits: str) -> Client:
        """A client with money whose session is logged on."""
        client = self.api()
        client.logon(self.ed25519_key(self.account(**deposits)))
        return client
