"""The ledger: a small honest web app that proves what a backup holds."""

VERSION = "1"
