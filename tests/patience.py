"""How long a test waits for what is sure to come: far longer than it takes, for a machine may be slow and is no fault.

What takes too long is told by an assertion about the thing itself, or by a clock that the test moves.
"""

PATIENCE_S = 60.0
