"""Generated from the .proto files beside this one, by `make proto`: the contract releasephase.v1."""
