"""`python -m lab.cli`: dnslab without its script on the PATH."""

from lab.cli.main import main

main()
