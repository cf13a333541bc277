"""No reactor, no network. Hypothesis's profile is set here, for pytest and for trial."""

from hypothesis import HealthCheck, settings

from tests.support.sweep import EXAMPLES, SWEEP

settings.register_profile(
    "upparat",
    database=None,
    deadline=None,
    derandomize=not SWEEP,
    max_examples=EXAMPLES,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("upparat")
