"""What every provider promises: one suite (``provider_contract``), run against each kind of cluster.

To add a provider: a subclass of ``harness.Member``, and a ``test_KIND.py`` of a few lines that gives it to the suite.
"""
