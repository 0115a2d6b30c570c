"""What all tests share: property tests do not depend on how fast the machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "any-speed",
    deadline=None,  # Hypothesis' own is 200 ms an example
    suppress_health_check=[HealthCheck.too_slow],  # and so many seconds to draw them
)
settings.load_profile("any-speed")
