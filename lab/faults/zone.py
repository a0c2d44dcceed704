"""Faults of zone data: a zone is edited at some or all of its servers, which reload it; measured by their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.errors import BadInput, EnvironmentProblem, NoEffect
from lab.faults.fault import Fault
from lab.faults.kind import Verdict
from lab.faults.plan import Options, Plan
from lab.faults.serving import Question, expected, observe, settle
from lab.faults.values import Values
from lab.faults.written import WrittenFault, WrittenKind
from lab.runtime import ledger, zonedata
from lab.runtime.parallel import each
from lab.topology.edits import edit
from lab.topology.lookup import look_up
from lab.topology.model import spoken
from lab.topology.suggest import did_you_mean

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab
    from lab.runtime.ledger import Entry
    from lab.topology.model import Node, Topology, Zone

_LOG_LINES = 4


@dataclass(frozen=True, kw_only=True)
class ZoneKind(WrittenKind):
    """An edit of `lab.topology.edits`, by the name of the fault, as something that goes wrong."""

    words: Callable[[Values], str]  # what is done: "the delegation of example.com is gone"
    asks: Callable[[Zone, Values], Question]  # shows it; of the zone as declared
    resolve: Callable[[Topology, Values], Values] = lambda _topology, values: values  # words of the lab into the DNS's

    @property
    def level(self) -> str:
        """Zone data."""
        return "zone"

    def at(self, topology: Topology, target: str | Sequence[str], values: Values, options: Options) -> Plan:
        """An edit of the zone that is meant, at the servers that are meant: all of a zone's when it is named itself."""
        nodes = topology.select(target)
        said = dict(self.resolve(topology, values))
        given = said.pop("zone")
        zone = self._meant(topology, target, nodes, given, said)
        name, _ = self.asks(zone, said)
        for node in nodes:
            if (deeper := max((found for found in node.zones if name.is_subdomain(found)), key=len)) != zone.name:
                raise BadInput(
                    f"{self.name}: {node.name} serves {spoken(deeper)} too, and answers for {spoken(name)} from there: "
                    f"what zone {zone.label} says of it is never seen at {node.name}"
                )
        return ZonePlan(self, zone, nodes, {**said, "zone": zone.label}, options)

    def undo(self, lab: RunningLab, entry: Entry) -> None:
        """Publish the zone without this edit at each of its servers, and see that they serve it."""
        zone = zonedata.zone_of(lab.topology, entry)
        if zone is None:
            return  # the lab has another lab file by now
        left = [other for other in lab.ledger.entries() if other.id != entry.id]
        nodes = [lab.topology.nodes[name] for name in entry.nodes if name in zone.servers]
        zones = {node.name: zonedata.served(lab.topology, node, zone, left) for node in nodes}
        each(lambda node: zonedata.publish(lab, node, zones[node.name]), nodes)
        running = [node.name for node in nodes if lab.nodes[node.name].state == "running"]
        try:
            question = self.asks(zone, entry.data["values"])
        except BadInput:
            return  # the lab has another lab file by now, and nothing in it that could be asked
        seen = settle(lab, question, {node: look_up(zones[node], *question) for node in running})
        # A server that is silent, behind a broken link for one, has been told all the same.
        wrong = [
            f"{node}: {told}"
            for node, told in seen.told.items()
            if told.answered and not told.agrees(look_up(zones[node], *question))
        ]
        if wrong:
            raise EnvironmentProblem(
                f"{self.name} is undone in the zone files, and the servers do not serve them: {'; '.join(wrong)}"
            )

    def _meant(
        self, topology: Topology, target: str | Sequence[str], nodes: Sequence[Node], given: str | None, values: Values
    ) -> Zone:
        """The zone that is named, or the only one of these servers in which the edit is possible."""
        zones = {zone.label: zone for zone in topology.zones.values()}
        words = target.split(",") if isinstance(target, str) else list(target)
        named = [_label(word) for word in words if _label(word) in zones and _label(word) not in topology.nodes]
        if given is not None:
            if (label := _label(given)) not in zones:
                raise BadInput(
                    f"{self.name}: no zone {given!r}{did_you_mean(label, zones)} (zones: {', '.join(zones)})"
                )
            named = [label]
        if len(set(named)) > 1:
            raise BadInput(f"{self.name} edits one zone, not {' and '.join(named)}")
        if named:
            zone = zones[named[0]]
            if stranger := next((node for node in nodes if node.name not in zone.servers), None):
                servers = ", ".join(zone.servers)
                raise BadInput(f"{self.name}: {stranger.name} does not serve {zone.label} (its servers: {servers})")
            self._try(zone, values)
            return zone
        common = [zone for zone in zones.values() if all(node.name in zone.servers for node in nodes)]
        if not common:
            raise BadInput(f"{self.name}: {', '.join(node.name for node in nodes)}: no zone is served there by all")
        if len(common) == 1:
            self._try(common[0], values)
            return common[0]
        possible = [zone for zone in common if self._is_possible(zone, values)]
        if len(possible) != 1:
            which = ", ".join(zone.label for zone in possible or common)
            raise BadInput(
                f"{self.name}: {nodes[0].name} serves {which}: "
                f"{'say which with' if possible else 'nothing like that is in them; look again, or say'} zone=NAME"
            )
        return possible[0]

    def _try(self, zone: Zone, values: Values) -> None:
        try:
            edit(zone, self.name, values)
        except BadInput as error:
            raise BadInput(f"{self.name}: {error}") from None

    def _is_possible(self, zone: Zone, values: Values) -> bool:
        try:
            edit(zone, self.name, values)
        except BadInput:
            return False
        return True


class ZonePlan(Plan):
    """An edit of one zone at some of its servers."""

    kind: ZoneKind

    def __init__(self, kind: ZoneKind, zone: Zone, nodes: Sequence[Node], values: Values, options: Options) -> None:
        self.kind, self.zone, self.nodes, self.values, self.options = kind, zone, tuple(nodes), values, options

    def does(self) -> str:
        """What would be done to which zone, and where not."""
        here = [node.name for node in self.nodes]
        others = [server for server in self.zone.servers if server not in here]
        apart = f"; not at {_listed(others)}, so the zone is inconsistent" if others else ""
        return f"In zone {self.zone.label} at {_listed(here)} {self.kind.words(self.values)}{apart}"

    def details(self) -> dict[str, Any]:
        """The zone."""
        return {"zone": self.zone.label}

    def fault(self, lab: RunningLab) -> Fault:
        """The fault itself, not begun."""
        return ZoneFault(lab, self)


class ZoneFault(WrittenFault):
    """A zone that is edited."""

    plan: ZonePlan

    def begin(self) -> None:
        """Ask the servers, edit, reload, ask again."""
        made, lab, kind = self.plan, self._lab, self.plan.kind
        zone, values = made.zone, {key: value for key, value in made.values.items() if key != "zone"}
        question = kind.asks(zone, values)
        for node in made.nodes:
            if (state := lab.nodes[node.name].state) != "running":
                raise EnvironmentProblem(
                    f"{node.name} is {state}: what it serves can be edited and measured only while it runs"
                )
        names = tuple(node.name for node in made.nodes)
        with lab.ledger.held():
            present = lab.ledger.entries()
            entry = ledger.entry(
                kind.name, names, made.describe(), zonedata.data(zone, (kind.name, values)), made.lasts
            )
            zones = {}
            for node in made.nodes:
                zones[node.name] = zonedata.served(lab.topology, node, zone, [*present, entry])
                if zones[node.name] == zonedata.served(lab.topology, node, zone, present):
                    raise NoEffect(f"{kind.name} changes nothing at {node.name}: another edit has been there before")
            before = self.before = observe(lab, question, list(names))
            self.write(entry)
            each(lambda node: zonedata.publish(lab, node, zones[node.name]), made.nodes)
            wanted = {name: look_up(zones[name], *question) for name in names}
            after = self.after = settle(lab, question, wanted)
        wrong = [name for name in names if not after.told[name].agrees(wanted[name])]
        wrong += [name for name in names if before.told[name] == after.told[name] and name not in wrong]
        self.verdict = Verdict(expected(question, wanted), str(after), bites=not wrong)
        if wrong:
            log = "\n".join(f"  {wrong[0]}: {line}" for line in lab.nodes[wrong[0]].logs(tail=_LOG_LINES))
            raise NoEffect(
                f"{kind.name} has no effect at {', '.join(wrong)}: asked for {self.asked}, got {self.got}; "
                f"the last log lines say whether the server took the zone:\n{log}"
            )


def _listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _label(word: str) -> str:
    return word.strip().lower().rstrip(".") or "."
