"""A story shown: one module a form."""
