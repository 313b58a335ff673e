"""The same training steps by us and by other libraries, checked against each other, then timed in turn."""
