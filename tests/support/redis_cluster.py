"""A Redis Cluster that the tests start themselves: three primaries with one replica each."""

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from tests.support.redis_servers import HOST, RedisServer, free_port, wait_until

SLOTS = 16_384
SHARDS = 3


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A node as another one or itself sees it: a line of CLUSTER NODES."""

    node_id: str
    flags: frozenset[str]
    primary_id: str
    """The ID of the node that it copies; a dash if it is a primary."""
    slots: frozenset[int]

    @property
    def is_up(self):
        return self.flags.isdisjoint({"fail", "fail?"})

    @classmethod
    def of(cls, line):
        node_id, _, flags, primary_id, _, _, _, _, *ranges = line.split()
        slots = []
        for each in ranges:
            if not each.startswith("["):  # A slot that is being moved.
                first, _, last = each.partition("-")
                slots += range(int(first), int(last or first) + 1)
        return cls(
            node_id=node_id,
            flags=frozenset(flags.split(",")),
            primary_id=primary_id,
            slots=frozenset(slots),
        )


class Node(RedisServer):
    """A node of a cluster."""

    def __init__(self, program, node_timeout):
        self.bus_port = free_port()
        super().__init__(
            program=program,
            cluster_enabled="yes",
            cluster_port=self.bus_port,
            cluster_node_timeout=node_timeout,
        )
        self.node_id = self.ask("CLUSTER", "MYID")

    def view(self):
        """Return the nodes as this one sees them."""
        return [Seen.of(line) for line in self.ask("CLUSTER", "NODES").splitlines()]

    def own(self):
        (own,) = (seen for seen in self.view() if "myself" in seen.flags)
        return own

    def slots(self):
        """Return the slots that this node serves."""
        return self.own().slots

    def is_in_step(self):
        """Whether it serves, or copies what another node serves."""
        replication = self.info("replication")
        return (
            "cluster_state:ok" in self.ask("CLUSTER", "INFO")
            and replication.get("master_link_status", "up") == "up"
        )


class Cluster:
    """Six nodes on ports of their own."""

    def __init__(self, *, program="redis-server", node_timeout=2000):
        """Start it.

        Args:
            program: the server, a command or path.
            node_timeout: milliseconds until a node that does not answer counts as failed.
        """
        self._node_timeout = node_timeout
        with ExitStack() as stack:
            self.nodes = [
                stack.enter_context(Node(program, node_timeout)) for _ in range(2 * SHARDS)
            ]
            self._join()
            self._stack = stack.pop_all()
        self.url = self.nodes[0].url

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        self._stack.close()

    def _join(self):
        primaries, replicas = self.nodes[:SHARDS], self.nodes[SHARDS:]
        first = self.nodes[0]
        for number, node in enumerate(self.nodes, start=1):
            # Nodes that join with the same epoch need some time to agree on others.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number)
            if node is not first:
                node.ask("CLUSTER", "MEET", HOST, first.port, first.bus_port)
        for number, primary in enumerate(primaries):
            first, end = (SLOTS * n // SHARDS for n in (number, number + 1))
            primary.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for primary, replica in zip(primaries, replicas, strict=True):
            # It cannot follow a node of which it has not heard yet.
            wait_until(
                lambda p=primary, r=replica: r.ask("CLUSTER", "REPLICATE", p.node_id) == "OK",
                f"{replica} follows {primary}",
            )
        self.wait()

    # Each node says for itself what it is. All nodes agree after wait(), and after what waits.

    def answering(self):
        return [node for node in self.nodes if node.answers]

    def primaries(self):
        """Return the nodes that serve slots."""
        return [node for node in self.answering() if node.slots()]

    def replicas_of(self, primary):
        return [node for node in self.answering() if node.own().primary_id == primary.node_id]

    def slot_of(self, key):
        return int(self.answering()[0].ask("CLUSTER", "KEYSLOT", key))

    def owner_of(self, key):
        """Return the node that serves a key."""
        return self._server_of(self.slot_of(key))

    def _server_of(self, slot):
        (node,) = (node for node in self.answering() if slot in node.slots())
        return node

    def wait(self):
        """Wait until the nodes that answer agree who serves each slot, and replicas follow."""
        wait_until(self._serves, "the cluster serves all slots")

    def _serves(self):
        nodes = self.answering()
        views = [
            {seen.node_id: seen.slots for seen in node.view() if seen.slots and seen.is_up}
            for node in nodes
        ]
        return (
            all(view == views[0] for view in views)
            and views[0].keys() <= {node.node_id for node in nodes}
            and sum(map(len, views[0].values())) == SLOTS
            and all(node.is_in_step() for node in nodes)
        )

    def heal(self):
        """Let all nodes answer, and wait until each primary has a replica."""
        for node in self.nodes:
            node.heal()
        wait_until(self._is_whole, "each primary has a replica")

    def _is_whole(self):
        return self._serves() and all(len(self.replicas_of(node)) == 1 for node in self.primaries())

    @contextmanager
    def failing_over_after(self, milliseconds):
        """Let a replica take the place of a primary that does not answer for so long."""
        for node in self.nodes:
            node.ask("CONFIG", "SET", "cluster-node-timeout", milliseconds)
        try:
            yield
        finally:
            for node in self.answering():
                node.ask("CONFIG", "SET", "cluster-node-timeout", self._node_timeout)

    def fail_over(self, primary):
        """Let the replica of a primary that runs take its place, without loss. Return it."""
        (replica,) = self.replicas_of(primary)
        # The server gives up after 5 seconds, for example because it was elected just before.
        with self.failing_over_after(2000):
            for _ in range(5):
                replica.ask("CLUSTER", "FAILOVER")
                with suppress(TimeoutError):
                    wait_until(lambda: replica in self.primaries(), "it is a primary", seconds=6)
                    break
            self.wait()
        assert replica in self.primaries()
        return replica

    @contextmanager
    def moving(self, slot, target):
        """Move a slot with its keys to another primary; the block runs while it is being moved."""
        primaries, source = self.primaries(), self._server_of(slot)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
        yield
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *keys)
        # The target first: if it were unknown there, the source would forget it.
        for node in (target, *primaries):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.node_id)

    def reshard(self, slots, target):
        """Move slots with their keys to another primary, one after the other."""
        for slot in slots:
            with self.moving(slot, target):
                pass
        self.wait()

    def empty(self):
        """Heal the cluster and delete all keys."""
        self.heal()
        for node in self.primaries():
            node.empty()
