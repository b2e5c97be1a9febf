"""The ledger as Markdown, HTML and terminal text."""
