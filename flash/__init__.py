"""Modal's flash platform as everybody else needs it: regions, URLs, containers, and its rules."""
