# A CodeStream load balancer with encryption up to the host: the API on port 443, the WebSocket Broadcaster on 12443.

terraform {
  required_providers {
    codestream = {
      source = "codestream/codestream"
    }
  }
}

provider "codestream" {}

resource "codestream_alb" "onprem" {
  name                 = "codestream-alb"
  protocol             = "HTTPS"
  subnet_ids           = var.subnet_ids
  certificate_arn      = var.certificate_arn
  hostname             = var.hostname
  instance_ids         = var.instance_ids
  client_cidr_blocks   = var.client_cidr_blocks
  instance_cidr_blocks = var.instance_cidr_blocks
}
