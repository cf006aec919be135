"""Sections of params.yaml that have a file of their own."""
