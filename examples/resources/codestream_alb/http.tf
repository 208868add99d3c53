# In cleartext: the API on port 80, the WebSocket Broadcaster on 12080.
resource "codestream_alb" "cleartext" {
  name                 = "codestream-cleartext"
  protocol             = "HTTP"
  subnet_ids           = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  instance_ids         = ["i-0123456789abcdef0"]
  client_cidr_blocks   = ["198.51.100.0/24"]
  instance_cidr_blocks = ["203.0.113.7/32"]
}
