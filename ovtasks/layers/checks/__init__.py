"""What a layer or a deployment says must hold (``eval``), looked at in a guest or from this machine."""
