"""How good a release is in service: sequential comparison, gross faults, served quality."""
