"""Makes ``twistd upparat`` a command; names the service maker without importing any of it."""

from twisted.application.service import ServiceMaker

upparat = ServiceMaker(
    "Upparat",
    "upparat.tap",
    "Follow AWS IoT Jobs and install the updates that they name.",
    "upparat",
)
