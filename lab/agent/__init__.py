"""The programs that run inside the lab's own helper containers.

- ``python3 -m agent.prober`` asks DNS queries from inside the lab and sets the lab's clock;
- ``python3 -m agent.dnsperf`` runs dnsperf there, where more load is wanted than the prober can give;
- ``python3 -m agent.gateway`` lets a person's ``dig`` in;
- ``python3 -m agent.conditioner`` disturbs the links of one node.

The package is copied into an image by itself: it imports nothing of the rest of ``lab``, only the standard library and,
to build messages, dnslib. The orchestrator in turn imports only the schemas that both sides share, :mod:`.protocol`,
:mod:`.conditions` and those of :mod:`.dnsperf`.
"""
