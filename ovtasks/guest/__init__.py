"""Inside the VM, over SSH: connection, readiness, diagnosis."""
