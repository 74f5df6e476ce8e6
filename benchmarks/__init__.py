"""Side by side with peers: run by hand through make, never asserted by a test."""
