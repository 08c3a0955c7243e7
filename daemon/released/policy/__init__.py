"""What a release may have of the host: what the operator allows, and what nobody may have."""
