"""What goes over the wire, seen: packets become DNS messages, messages become exchanges and counts.

Data flows one way: frames from the taps (lab.runtime.tap) -> packets (`packets`) -> streams (`streams`) -> messages and
transport events (`message`), held and selected by an `Observation`.
"""
