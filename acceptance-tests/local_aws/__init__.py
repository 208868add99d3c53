"""A local AWS for tests: moto's server, with the AWS semantics that moto lacks put back."""
