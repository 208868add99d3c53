terraform {
  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

# Two nodes in two availability zones, a cache in ElastiCache, WebSockets on port 80 and encrypted on 443.
resource "codestream_deepstream_cluster" "realtime" {
  name               = "realtime"
  subnet_ids         = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  node_count         = 2
  instance_type      = "t3.micro"
  certificate_arn    = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
  hostname           = "codestream.mycompany.com"
  client_cidr_blocks = ["198.51.100.0/24"]

  cache = {
    node_type     = "cache.t3.micro"
    replica_count = 1
  }

  lifecycle {
    postcondition {
      condition     = self.ready
      error_message = "Not every node answers."
    }
  }
}

output "url" {
  description = "What deepstream's clients connect to."
  value       = codestream_deepstream_cluster.realtime.url
}
