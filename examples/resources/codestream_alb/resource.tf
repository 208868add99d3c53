terraform {
  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

# Encrypted up to the host: the API on port 443, the WebSocket Broadcaster on 12443.
resource "codestream_alb" "onprem" {
  name                 = "codestream-alb"
  protocol             = "HTTPS"
  subnet_ids           = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  certificate_arn      = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
  hostname             = "codestream.mycompany.com"
  instance_ids         = ["i-0123456789abcdef0"]
  client_cidr_blocks   = ["198.51.100.0/24"]
  instance_cidr_blocks = ["203.0.113.7/32"]
}

output "dns_name" {
  description = "What the host name must be an alias or a CNAME of."
  value       = codestream_alb.onprem.dns_name
}

output "services_config" {
  description = "What to change in the host's codestream-services-config.json."
  value       = codestream_alb.onprem.services_config
}
