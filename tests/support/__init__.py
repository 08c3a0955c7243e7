"""What the tests, the demo and the benchmark need around the product: an engine, images, a registry."""
