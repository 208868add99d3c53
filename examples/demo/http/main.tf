# A CodeStream load balancer in cleartext: the API on port 80, the WebSocket Broadcaster on 12080.

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
  protocol             = "HTTP"
  subnet_ids           = var.subnet_ids
  instance_ids         = var.instance_ids
  client_cidr_blocks   = var.client_cidr_blocks
  instance_cidr_blocks = var.instance_cidr_blocks
}
