"""dnslab, the command: one module a group of verbs, thin."""
