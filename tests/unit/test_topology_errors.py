"""What is wrong with a lab file is told with its line and with what would be right, all of it at once."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.errors import BadInput
from lab.topology.derive import derive
from lab.topology.loading import load, loads
from lab.topology.problems import DeclarationError

TEXTBOOK = Path(__file__).parents[2] / "compose/textbook/lab.yaml"
PROGRAMS = {
    "bind": ("authority", "recursive authority", "resolver"),
    "knot": ("authority",),
    "nsd": ("authority",),
    "unbound": ("resolver",),
}
LAB = """\
lab: small
network: {ipv4: 10.1.2.0/24, ipv6: "fd01:2::/64"}
zones:
  .: {servers: [root]}
  com: {servers: [tld]}
  example.com:
    servers: [authority]
    records: |
      www   A      192.0.2.80
      mail  A      192.0.2.25
servers:
  root: knot
  tld: nsd
  authority: {program: bind, name: ns.example.com}
resolvers:
  resolver: unbound
hosts:
  host: {resolvers: [resolver], name: host.example.com}
"""
TLD = "com: {servers: [tld]}"
WWW = "      www   A      192.0.2.80\n"
NETWORK = 'network: {ipv4: 10.1.2.0/24, ipv6: "fd01:2::/64"}'
AUTHORITY = "authority: {program: bind, name: ns.example.com}"
HOST = "host: {resolvers: [resolver], name: host.example.com}"


def problems(text: str) -> list[tuple[int, str]]:
    """Line and text of each problem of a lab file that has some."""
    with pytest.raises(DeclarationError) as caught:
        loads(text, PROGRAMS, source="lab.yaml")
    told = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in told] == [str(line) for line, _ in caught.value.problems]
    assert all(line.startswith("lab.yaml:") for line in told)
    assert caught.value.exit_code == 4
    return [(line, problem.text) for line, problem in caught.value.problems]


def test_the_lab_of_these_tests_is_right() -> None:
    assert derive(loads(LAB, PROGRAMS)).nodes


# Each case replaces a part of the lab; WRONG marks, in a comment, the lines where a problem is to be told, in order.
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # keys and values
        ("lab: small", "", ["'lab' is missing"]),
        ("lab: small", "lab: My Lab # WRONG", ["lower-case letters, digits and hyphens"]),
        ("lab: small", "lab: small\nttll: 5 # WRONG", ["did you mean 'ttl'?"]),
        ("lab: small", "lab: small\nclock: wall # WRONG", ["'lab' or 'host'"]),
        ("lab: small", "lab: small\nttl: -1 # WRONG", ["0 to 2147483647 seconds"]),
        ("lab: small", "lab: small\nttl: 2147483648 # WRONG", ["0 to 2147483647 seconds"]),
        ("lab: small", "lab: small\nns_ttl: soon # WRONG", ["seconds (3600) or units (1h, 2d)"]),
        ("lab: small", "lab: small\nnegative_ttl: [1] # WRONG", ["seconds (3600) or units (1h, 2d)"]),
        ("lab: small", "lab: small\ndelegation_ttl: true # WRONG", ["seconds (3600) or units (1h, 2d)"]),
        ("lab: small", "lab: small\n5: x # WRONG", ["write it in quotes"]),
        ("lab: small", "lab: small\n[a, b]: x # WRONG", ["a text is wanted"]),
        ("lab: small", "lab: small\ngateway: 5300 # WRONG", ["a mapping is wanted here with: name, ipv4, ipv6, port"]),
        ("lab: small", "lab: small\ngateway: {prot: 5300} # WRONG", ["did you mean 'port'?"]),
        (
            "lab: small",
            "lab: small\ngateway: {port: 65536} # WRONG",
            ["a number up to 65535 is wanted here (got 65536)"],
        ),
        ("lab: small", "lab: small\ngateway: {resolvers: [resolvr]} # WRONG", ["did you mean 'resolver'?"]),
        (NETWORK, "network: {ipvv6: 1} # WRONG", ["did you mean 'ipv6'?"]),
        (NETWORK, "network: {ipv4: 10.1.2.1/24} # WRONG", ["as in 10.53.0.0/24"]),
        (NETWORK, "network: 10.1.2.0/24 # WRONG", ["a mapping is wanted here with: ipv4, ipv6"]),
        (TLD, "com: {servrs: [tld]} # WRONG", ["unknown key 'servrs'; did you mean 'servers'?"]),
        (TLD, "com: # WRONG", ["a mapping is wanted here with: servers, records"]),
        (TLD, "com: {servers: tld} # WRONG", ["a list is wanted here, as in `[one, two]`"]),
        (TLD, "com:\n    servers:\n      - tld\n      - {a: b} # WRONG", ["a text is wanted here"]),
        (TLD, "com:\n    servers:\n      - tld\n      - | # WRONG\n        nobody", ["no server 'nobody\\n'"]),
        (TLD, "com: {servers: [tld], serial: -1} # WRONG", ["a number from 0 on is wanted here (got -1)"]),
        (TLD, "com: {servers: [tld], records: 5} # WRONG", ["a text is wanted here; write it in quotes"]),
        (TLD, "com:\n    servers: [tld]\n    ttl: 1 week # WRONG", ["units (1h, 2d)"]),
        (TLD, TLD + "\n  5: {servers: [tld]} # WRONG", ["write it in quotes"]),
        (AUTHORITY, "authority: {programm: bind} # WRONG WRONG", ["'program' is missing", "did you mean 'program'?"]),
        (AUTHORITY, "authority: [bind] # WRONG", ["a mapping is wanted here with: name, ipv4, ipv6, program"]),
        (
            AUTHORITY,
            "authority: {program: bind, ipv4: 300.1.1.1} # WRONG",
            ["an IPv4 address is wanted here, as in 10.53.0.80 (got '300.1.1.1')"],
        ),
        (AUTHORITY, "authority: {program: bind, name: .} # WRONG", ["like ns1.example.com"]),
        (AUTHORITY, "authority: {program: bind, name: a..b} # WRONG", ["not a domain name"]),
        (AUTHORITY, "authority: {program: bind, name: my_ns.com} # WRONG", ["letters, digits and hyphens"]),
        ("  root: knot", "  Root: knot # WRONG", ["lower-case letters, digits and hyphens"]),
        (HOST, "host: {} # WRONG", ["'resolvers' is missing"]),
        (HOST, "host: {resolvers: []} # WRONG", ["it is empty; at least one is wanted here, as in `[one, two]`"]),
        (HOST, "host: {resolvers: [3]} # WRONG", ["a text is wanted here; write it in quotes (got 3)"]),
        ("hosts:\n  " + HOST, "hosts: {} # WRONG", ["it is empty; at least one is wanted here, as in `name: ...`"]),
        ("hosts:\n  " + HOST, "", ["'hosts' is missing"]),
        ("lab: small", "lab: small\nclock: sun # WRONG", ["'lab' or 'host' is wanted here (got 'sun')"]),
        ("lab: small", "lab: small\nttl: # WRONG", ["nothing is not a TTL; write seconds (3600)"]),
        ("lab: small", f"lab: {'a' * 43} # WRONG", ["42 at the most"]),
        ("lab: small", "lab: small\ngateway: {port: 53.5} # WRONG", ["a whole number is wanted here (got 53.5)"]),
        ("lab: small", "lab: small\nlinks: [{between: [[], tld], rtt: 1ms}] # WRONG", ["at least one is wanted"]),
        (TLD, "com: {servers: [tld], serial: 4294967296} # WRONG", ["a number below 4294967296 is wanted here"]),
        (TLD, "com: {servers: [tld], serial: x} # WRONG", ["a whole number is wanted here (got 'x')"]),
        (TLD, "com: {servers: [tld], serial: true} # WRONG", ["a whole number is wanted here (got True)"]),
        (AUTHORITY, "authority: {program: bind, ipv6: 10.1.2.7} # WRONG", ["an IPv6 address is wanted here"]),
        # zones, servers, programs, references
        ("  .: {servers: [root]}", "  net: {servers: [root]}", ["no root zone; add one"]),
        (TLD, "com: {} # WRONG\n  net: {servers: [tld]}", ["add `servers: [...]` with some of: root, tld, authority"]),
        (TLD, "com: {servers: [tdl]} # WRONG\n  net: {servers: [tld]}", ["no server 'tdl'; did you mean 'tld'?"]),
        (TLD, "com: {servers: [tld, xyzzy]} # WRONG", ["declared servers: root, tld, authority"]),
        (TLD, "com: {servers: [tld, tld]} # WRONG", ["named twice; keep one"]),
        (TLD, "com: {servers: [resolver]} # WRONG\n  net: {servers: [tld]}", ["no server 'resolver'"]),
        (TLD, TLD + "\n  COM.: {servers: [tld]} # WRONG", ["the same zone as 'com' above; keep one"]),
        (TLD, TLD + "\n  a..b: {servers: [tld]} # WRONG", ["label is empty"]),
        (TLD, TLD + "\n  'a b': {servers: [tld]} # WRONG", ["letters, digits"]),
        ("  tld: nsd", "  tld: nsd\n  idle: nsd # WRONG", ["name it in the `servers` of a zone, or remove it"]),
        (
            "  tld: nsd",
            "  tld: nds # WRONG",
            ["unknown program 'nds'; did you mean 'nsd'? (authority: bind, knot, nsd)"],
        ),
        ("  tld: nsd", "  tld: unbound # WRONG", ["can't be an authority: 'unbound'"]),
        ("  resolver: unbound", "  resolver:\n    program: knot # WRONG", ["can't be a resolver: 'knot'"]),
        (
            "  tld: nsd",
            "  tld:\n    recursive: true\n    program: nsd # WRONG",
            ["can't be a recursive authority: 'nsd'", "(recursive authority: bind)"],
        ),
        (
            "  root: knot",
            "  root: {program: bind, recursive: 2 d} # WRONG",
            ["yes or no is wanted here: write true or false"],
        ),
        (HOST, "host: {resolvers: [resolvr]} # WRONG", ["no resolver 'resolvr'; did you mean 'resolver'?"]),
        (HOST, "tld: {resolvers: [resolver]} # WRONG", ["a node 'tld' under 'servers' too; rename one"]),
        (HOST, "gateway: {resolvers: [resolver]} # WRONG", ["rename one"]),
        (HOST, "host: {resolvers: [resolver], name: ns.example.com} # WRONG", ["the name of 'authority' too"]),
        # addresses
        (
            NETWORK,
            "network: {ipv4: 10.1.2.0/30} # WRONG",
            ["room for 1 nodes and the lab has 5; a /29 is large enough"],
        ),
        (NETWORK, "network: {ipv4: 10.0.0.0/15} # WRONG", ["too large: 10.0.0.0/15; a /16 holds every lab"]),
        (NETWORK, "network: {ipv6: 'fd01::/72'} # WRONG", ["too small: fd01::/72; write a /64"]),
        (NETWORK, "network: {ipv6: 'fd01::/48'} # WRONG", ["too large: fd01::/48; write a /64"]),
        (AUTHORITY, "authority: {program: bind, ipv4: 10.1.3.7} # WRONG", ["not in the lab's subnet 10.1.2.0/24"]),
        (AUTHORITY, "authority: {program: bind, ipv6: 'fd09::7'} # WRONG", ["not in the lab's subnet fd01:2::/64"]),
        (AUTHORITY, "authority: {program: bind, ipv4: 10.1.2.1} # WRONG", ["taken by the network itself"]),
        (AUTHORITY, "authority: {program: bind, ipv4: 10.1.2.255} # WRONG", ["taken by the network itself"]),
        (AUTHORITY, "authority: {program: bind, ipv6: 'fd01:2::1'} # WRONG", ["taken by the network itself"]),
        (AUTHORITY, "authority: {program: bind, ipv6: 'fd01:2::11'}", ["duplicate address: fd01:2::11"]),
        (
            "  tld: nsd\n  " + AUTHORITY,
            "  tld: {program: nsd, ipv4: 10.1.2.7}\n  authority:\n    program: bind\n    ipv4: 10.1.2.7 # WRONG",
            ["duplicate address: 10.1.2.7 is that of 'tld' too"],
        ),
        # records
        (WWW, "      www A 192.0.2.256 ; WRONG\n", ["cannot read 'www A 192.0.2.256' as a record"]),
        (WWW, "      www TXT ( ; WRONG\n        a\n\n        b\n", ["unbalanced parentheses"]),
        (WWW, "      www 2147483648 A 192.0.2.80 ; WRONG\n", ["it must be 0 to 2147483647"]),
        (WWW, "      $INCLUDE other ; WRONG\n" + WWW, ["$ORIGIN and $TTL are"]),
        (WWW, WWW + "      @ NS ns.example.com. ; WRONG\n", ["NS of a zone is derived from its `servers`"]),
        (WWW, WWW + "      @ SOA a. b. 1 2 3 4 5 ; WRONG\n", ["SOA of a zone is derived"]),
        (WWW, WWW + "      ns A 192.0.2.1 ; WRONG\n", ["addresses are derived; remove the record"]),
        (WWW, WWW + "      host AAAA 2001:db8::1 ; WRONG\n", ["addresses are derived; remove the record"]),
        (WWW, WWW + "      www CNAME mail ; WRONG\n", ["a CNAME beside other data (A); an alias has nothing else"]),
        (WWW, WWW + "      m CNAME mail\n      m TXT x ; WRONG\n", ["a CNAME beside other data (TXT)"]),
        (WWW, WWW + "      m CNAME mail\n      m CNAME www ; WRONG\n", ["beside other data (another CNAME)"]),
        (WWW, WWW + "      ns CNAME mail ; WRONG\n", ["a CNAME beside other data (A)"]),
        (WWW, WWW + "      @ CNAME mail ; WRONG\n", ["a CNAME beside other data (NS, SOA)"]),
        (WWW, WWW + "      www.example.org. A 192.0.2.1 ; WRONG\n", ["outside the zone example.com"]),
        (WWW, WWW + "      example.com A 192.0.2.1\n      com. TXT x ; WRONG\n", ["com is outside the zone"]),
        (WWW, WWW + "      www 60 A 192.0.2.81 ; WRONG\n", ["TTLs 3600 and 60; one RRset has one TTL"]),
        (
            WWW,
            WWW + "      sub NS nn.example.com. ; WRONG\n",
            ["delegation to nobody", "did you mean 'ns.example.com'?"],
        ),
        (
            WWW,
            WWW + "      sub NS ns\n      www.sub A 192.0.2.1 ; WRONG\n",
            ["hidden by the delegation of sub.example"],
        ),
        (WWW, WWW + "      sub A 192.0.2.1 ; WRONG\n      sub NS ns\n", ["hidden by the delegation of sub.example"]),
        (
            TLD,
            "com:\n    servers: [tld]\n    records: |\n      www.example A 192.0.2.1 ; WRONG",
            ["www.example.com belongs into the zone example.com"],
        ),
        (TLD, "com: {servers: [tld], records: www FOO bar} # WRONG", ["unknown rdatatype 'FOO'"]),
        (
            TLD,
            'com:\n    servers: [tld]\n    records: "a A 192.0.2.1\\nb FOO bar" # WRONG',
            ["unknown rdatatype 'FOO'"],
        ),
        (
            ".: {servers: [root]}",
            ".:\n    servers: [root]\n    records: |\n      9.2.1.10.in-addr.arpa PTR host.example.com. ; WRONG",
            ["belongs into the zone 2.1.10.in-addr.arpa"],
        ),
        (
            TLD,
            TLD + "\n  2.1.10.in-addr.arpa:\n    servers: [tld]\n    records: |\n      11 PTR www.example.com. ; WRONG",
            ["its PTR is derived; remove the record"],
        ),
        # YAML
        (TLD, TLD + "\n  com: {servers: [tld]} # WRONG", ['not YAML: found duplicate key "com"']),
        (TLD, "com: {servers: *nobody} # WRONG", ["undefined alias 'nobody'"]),
        (TLD, "com: {servers: [tld]}} # WRONG", ["not YAML"]),
        (TLD, "\tcom: {servers: [tld]} # WRONG", ["not YAML"]),
        (WWW, WWW + "      bell TXT \x07 ; WRONG\n", ["not YAML: unacceptable character #x0007"]),
        (HOST, HOST + "\n--- # WRONG\nlab: two", ["another document"]),
        # YAML tags make nothing but what they say
        ("  tld: nsd", "  tld: !!python/object/apply:os.system [exit 1] # WRONG", ["a mapping is wanted"]),
        ("  tld: nsd", "  tld: !unknown nsd # WRONG", ["a mapping is wanted"]),
    ],
)
def test_one_mistake(old: str, new: str, said: list[str]) -> None:
    assert LAB.count(old) == 1
    text = LAB.replace(old, new)
    told = problems(text)
    marked = [n for n, line in enumerate(text.splitlines(), 1) for _ in range(line.count("WRONG"))]
    if marked:
        assert [line for line, _ in told] == marked
    for fragment in said:
        assert any(fragment in what for _, what in told), told


@pytest.mark.parametrize(
    "text",
    ["", "# only a comment\n", "~", "a lab", "[lab]", "5", "--- !!python/object/apply:os.system [exit 1]"],
)
def test_what_is_not_a_mapping(text: str) -> None:
    assert problems(text) == [(1, "a lab file is a mapping with `lab`, `zones`, `servers` ...")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("lab: [", "not YAML", id="open bracket"),
        pytest.param("? [a, {b: c}]\n: x\n", "key", id="unhashable key"),
        pytest.param("lab: !!int five", "tagged value", id="no integer"),
        pytest.param("lab: " + "[" * 400 + "]" * 400, "nested too deeply", id="deep"),
        pytest.param("&a\nlab: *a\nzones: *a\n", "a text is wanted", id="a mapping that holds itself"),
        pytest.param("%YAML 3.0\n---\nlab: x\n", "incompatible YAML document", id="YAML 3"),
    ],
)
def test_yaml_that_leads_astray(text: str, said: str) -> None:
    assert said in str(problems(text))


def test_everything_is_told_at_once_by_line() -> None:
    text = (
        LAB.replace(TLD, "com: {servers: [tld, xyz]}")
        .replace("resolvers: [resolver]", "resolvers: [nobody]")
        .replace("tld: nsd", "tld: unbund")
    )
    assert [line for line, _ in problems(text)] == [5, 13, 18]
    text = (
        LAB.replace(WWW, "      www A nonsense\n      @ NS ns\n" + WWW)
        .replace("10.1.2.0/24", "10.1.2.0/30")
        .replace("tld: nsd", "tld: unbund")
        .replace("name: host.example.com", "name: ns.example.com")
    )
    assert [line for line, _ in problems(text)] == [2, 9, 10, 15, 20]


def test_a_zone_is_recursive_or_not() -> None:
    text = LAB.replace(TLD, "com: {servers: [tld, authority]}").replace(
        "tld: nsd", "tld: {program: bind, recursive: yes}"
    )
    assert problems(text.replace("yes", "true")) == [
        (
            5,
            "tld is recursive and authority is not; whoever asks for the zone cannot know whom it will get: make all of"
            " them `recursive: true`, or none",
        )
    ]


def test_anchors_aliases_and_merge_keys_are_yaml_as_usual() -> None:
    text = LAB.replace("root: knot", "root: &server {program: knot}").replace("tld: nsd", "tld: {<<: *server}")
    assert derive(loads(text, PROGRAMS)).nodes["tld"].program == "knot"
    text = LAB.replace(
        TLD, "com:\n    servers: [tld]\n    records: &shared |\n      www A 192.0.2.1\n      ftp FOO bar"
    )
    text = text.replace("  example.com:", "  org: {servers: [tld], records: *shared}\n  example.com:")
    assert [line for line, _ in problems(text)] == [9, 9]  # where it is written, for each zone that uses it


def test_tags_and_dates_are_harmless() -> None:
    assert loads("--- !!python/object:os.system\n" + LAB, PROGRAMS) == loads(LAB, PROGRAMS)
    assert loads(LAB.replace("lab: small", "lab: 2024-01-31"), PROGRAMS).lab == "2024-01-31"


# files


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"lab: \xff\xfe\x00")
    for name, reason in (("none", "No such file"), (".", "Is a directory"), ("binary", "not UTF-8 text (byte 5)")):
        with pytest.raises(BadInput, match="cannot read the lab file") as caught:
            load(tmp_path / name, PROGRAMS)
        assert reason in str(caught.value)
    with pytest.raises(BadInput, match="cannot read the lab file"):
        load(Path("a\0b"), PROGRAMS)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("none.yaml", "No such file"),
        (".", "Is a directory"),
        ("binary.yaml", "not UTF-8"),
        ("broken.yaml", "broken.yaml:1: 'lab' is missing"),
        ('"a\\0b"', "null"),
        ("itself.yaml", "takes its records from itself"),
        ("there.yaml", "takes its records from itself"),
        ("good.yaml", "www.example.com belongs into the zone example.com"),
    ],
)
def test_records_from_a_file_that_will_not_do(tmp_path: Path, value: str, said: str) -> None:
    wrong = LAB.replace(TLD, f"com:\n    servers: [tld]\n    records_from: {value}")
    (tmp_path / "binary.yaml").write_bytes(b"\xff")
    (tmp_path / "broken.yaml").write_text("labb: x\n")
    (tmp_path / "good.yaml").write_text(LAB)
    (tmp_path / "there.yaml").write_text(LAB.replace(TLD, "com: {servers: [tld], records_from: itself.yaml}"))
    (tmp_path / "itself.yaml").write_text(wrong)
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path / "itself.yaml", PROGRAMS)
    assert {line for line, _ in caught.value.problems} == {wrong.splitlines().index(f"    records_from: {value}") + 1}
    assert said in str(caught.value)


def test_records_from_another_lab_stand_beside_ones_own(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(LAB)
    one = "      own  A  192.0.2.7\n"
    text = LAB.replace(WWW, one).replace("      mail  A      192.0.2.25\n", "    records_from: other.yaml\n")
    topology = derive(loads(text, PROGRAMS, folder=tmp_path))
    owners = {record.owner.to_text() for zone in topology.zones.values() for record in zone.records}
    assert {"own.example.com.", "www.example.com.", "mail.example.com."} <= owners


# anything at all


@settings(
    max_examples=120, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_a_garbled_file_loads_or_is_bad_input(seed: int, times: int) -> None:
    chance = random.Random(seed)
    lines = LAB.splitlines()
    for _ in range(times):
        _garble(lines, chance)
    with suppress(BadInput):  # every other exception fails
        derive(loads("\n".join(lines), PROGRAMS))


@settings(max_examples=12, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_a_garbled_textbook_loads_or_is_bad_input(seed: int) -> None:
    lines = TEXTBOOK.read_text().splitlines()
    _garble(lines, random.Random(seed))
    with suppress(BadInput):
        derive(loads("\n".join(lines), PROGRAMS))


def _garble(lines: list[str], chance: random.Random) -> None:
    """Delete, repeat, move or break one line."""
    place = chance.randrange(len(lines))
    line = lines[place]
    match chance.randrange(6):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, line)
        case 2:
            lines.insert(chance.randrange(len(lines)), lines.pop(place))
        case 3:
            cut = chance.randrange(len(line) + 1)
            lines[place] = line[:cut] + chance.choice("{}[]:,&*!|>\"'#%@`\\$;()\t\0é\u2028 -.?~0") + line[cut:]
        case 4:
            lines[place] = line[: chance.randrange(len(line) + 1)]
        case _:
            indent = len(line) - len(line.lstrip())
            words = line.split()
            chance.shuffle(words)
            lines[place] = " " * indent + " ".join(words)
