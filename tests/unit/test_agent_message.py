import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.agent.message import encode_name, is_response, query_message, type_number
from lab.agent.protocol import Query

ID = b"\x12\x34"
MESSAGE = query_message(Query("www.Example.com.", "TYPE65", ("192.0.2.1",)))
RESPONSE = ID + b"\x84\x00" + MESSAGE.body[2:]


def query(name="www.example.com.", type="A", **kwargs):
    return dns.message.from_wire(ID + query_message(Query(name, type, ("192.0.2.1",), **kwargs)).body)


def test_a_plain_query_as_dnspython_reads_it():
    message = query()
    assert message.id == 0x1234
    assert message.question[0].to_text() == "www.example.com. IN A"
    assert message.flags == dns.flags.RD
    assert (message.edns, message.payload, message.ednsflags) == (0, 1232, 0)
    assert not message.answer


def test_flags_of_a_query():
    assert query(recurse=False).flags == 0
    assert query(checking_disabled=True).flags == dns.flags.RD | dns.flags.CD
    assert query(dnssec_ok=True).ednsflags == dns.flags.DO
    assert query(bufsize=4096).payload == 4096
    assert query(bufsize=0).edns == -1


@pytest.mark.parametrize(
    ("type", "number"), [("A", 1), ("aaaa", 28), ("HTTPS", 65), ("ANY", 255), ("TYPE65280", 65280)]
)
def test_types(type, number):
    assert type_number(type) == number
    assert query(type=type).question[0].rdtype == number


@pytest.mark.parametrize("type", ["", "FOO", "TYPE", "TYPE65536", "TYPE-1", "1"])
def test_unknown_types_are_refused(type):
    with pytest.raises(ValueError, match="type"):
        type_number(type)


names = st.lists(st.binary(min_size=1, max_size=63), max_size=3).map(lambda labels: dns.name.Name([*labels, b""]))


@settings(max_examples=50)
@given(names)
def test_any_name_that_dnspython_writes_is_read_as_dnspython_reads_it(name):
    assert encode_name(name.to_text()) == name.to_wire()


@settings(max_examples=50)
@given(st.text(alphabet="a1.\\-é", max_size=80))
def test_a_text_is_a_name_or_a_reason(text):
    try:
        wire = encode_name(text)
    except ValueError as error:
        assert text in str(error) or repr(text) in str(error) or ascii(text) in str(error)  # noqa: PT017
    else:
        assert wire == dns.name.from_text(text, origin=None).to_wire()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "absolute"),
        ("www.example.com", "absolute"),
        (r"www.example.com\.", "absolute"),
        ("www..com.", "empty label"),
        (".com.", "empty label"),
        ("a" * 64 + ".", "64 octets: the limit is 63"),
        ("a." * 128, "257 octets: the limit is 255"),
        ("büro.example.", "xn--"),
        ("a\\", "backslash"),
        ("a\\25.", "backslash"),
        ("a\\256.", "255"),
    ],
)
def test_a_bad_name_gets_a_reason(name, text):
    with pytest.raises(ValueError, match=text):
        encode_name(name)


def test_the_longest_names_and_labels_are_good():
    assert len(encode_name("a." * 127)) == 255
    assert encode_name("a" * 63 + ".")[0] == 63


def test_a_response_repeats_id_and_question():
    assert is_response(MESSAGE, ID, RESPONSE)
    assert is_response(MESSAGE, ID, RESPONSE.replace(b"Example", b"eXAMPLE"))


TYPE_97 = RESPONSE[:12] + RESPONSE[12:].replace(b"\0\x41\0\1", b"\0\x61\0\1")


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"", id="empty"),
        pytest.param(RESPONSE[:11], id="short header"),
        pytest.param(b"\x12\x35" + RESPONSE[2:], id="other id"),
        pytest.param(ID + MESSAGE.body, id="a query"),
        pytest.param(ID + b"\xa4" + RESPONSE[3:], id="other opcode"),
        pytest.param(RESPONSE.replace(b"www", b"wwx"), id="other name"),
        pytest.param(TYPE_97, id="type 97 is not type 65 in lower case"),
        pytest.param(RESPONSE.replace(b"\0\x41\0\1", b"\0\x41\0\3"), id="other class"),
        pytest.param(RESPONSE[:20], id="cut in the question"),
        pytest.param(RESPONSE[:4] + bytes(8), id="no question, no error"),
        pytest.param(RESPONSE[:4] + b"\0\2" + RESPONSE[6:], id="two questions"),
    ],
)
def test_what_is_no_response(wire):
    assert wire != RESPONSE
    assert not is_response(MESSAGE, ID, wire)


def test_an_error_may_come_without_the_question():
    assert is_response(MESSAGE, ID, ID + b"\x80\x01" + bytes(8))
    assert not is_response(MESSAGE, ID, ID + b"\x80\x03" + bytes(8))


@settings(max_examples=50)
@given(st.binary(max_size=80), st.booleans())
def test_any_octets_are_judged(octets, with_id):
    wire = (ID if with_id else b"") + octets
    assert is_response(MESSAGE, ID, wire) in (True, False)
