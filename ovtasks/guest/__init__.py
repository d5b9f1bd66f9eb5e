"""The inside of a running VM, over SSH: connecting, waiting until it is ready, finding out why it is not."""
