"""Upparat: the service on an IoT device that carries out AWS IoT Jobs."""

__version__ = "2.0.0.dev0"
