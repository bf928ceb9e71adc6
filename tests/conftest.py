"""What holds for all tests: a property is judged by what it finds, not by how fast the machine is today."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
