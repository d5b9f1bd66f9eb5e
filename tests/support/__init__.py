"""What tests of several rooms share; a helper of one room's tests lives beside them."""
