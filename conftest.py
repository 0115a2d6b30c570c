"""What all tests share: they hold at any speed, and beside gRPC's threads."""

import os

from hypothesis import HealthCheck, settings

# Read when gRPC is imported. A test's process that has asked Triton may start another by fork, and
# gRPC's handler can abort it; each of them executes a program at once and needs no gRPC.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

settings.register_profile(
    "any-speed",
    deadline=None,  # Hypothesis' own is 200 ms an example
    suppress_health_check=[HealthCheck.too_slow],  # and so many seconds to draw them
)
settings.load_profile("any-speed")
