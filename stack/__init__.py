"""The local metrics stack: its services' configuration, and what makes it from the panels."""
