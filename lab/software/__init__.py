"""The server programs: one module a program, and the only place that knows a vendor's facts.

A program is a module here with a `PROGRAM`, a template a role in `templates/` and a folder in `images/`; it is found
by being here. `lab.software.program` has the shape of a program and the functions the rest of dnslab calls.
"""
