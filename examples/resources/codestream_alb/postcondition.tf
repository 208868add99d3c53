# An instance that does not become healthy fails the apply without tainting the load balancer: the next apply goes on
# with what is there.
resource "codestream_alb" "gated" {
  name                 = "codestream-gated"
  protocol             = "HTTP"
  subnet_ids           = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  instance_ids         = ["i-0123456789abcdef0"]
  client_cidr_blocks   = ["198.51.100.0/24"]
  instance_cidr_blocks = ["203.0.113.7/32"]

  on_unhealthy = "warn"

  lifecycle {
    postcondition {
      condition     = self.ready
      error_message = "CodeStream does not answer on every port; see the warnings above, or the targets in AWS."
    }
  }
}
